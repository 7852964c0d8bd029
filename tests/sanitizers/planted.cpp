// Faults on purpose: cmake/sanitize.py looks whether they are found before it trusts a run without findings.

#include <climits>
#include <thread>

namespace {
int shared = 0;

void count() {
    for (int i = 0; i < 100000; ++i) shared = shared + 1;
}
} // namespace

extern "C" int race() {
    std::thread one(count);
    std::thread other(count);
    one.join();
    other.join();
    return shared;
}

extern "C" int overflow(int n) { return INT_MAX + n; }

extern "C" int read_beyond(int n) {
    volatile char* bytes = new char[n];
    const char beyond = bytes[n];
    delete[] bytes;
    return beyond;
}
