#include "support/batch_rounding.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace xlc {

namespace {

std::mutex mutex;
std::vector<const void*> allowed; // as many as there are retrievers

} // namespace

void allow_batch_rounding(const void* threads) {
    const std::lock_guard<std::mutex> lock(mutex);
    allowed.push_back(threads);
}

void forget_batch_rounding(const void* threads) {
    const std::lock_guard<std::mutex> lock(mutex);
    allowed.erase(std::remove(allowed.begin(), allowed.end(), threads), allowed.end());
}

bool allows_batch_rounding(int64_t n_rows, const void* threads) {
    if (n_rows >= most_rows_of_step) {
        return true;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    return std::find(allowed.begin(), allowed.end(), threads) != allowed.end();
}

} // namespace xlc
