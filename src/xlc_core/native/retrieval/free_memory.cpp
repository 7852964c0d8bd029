#include "retrieval/free_memory.h"

#include "support/devices.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace xlc {

namespace {

// Return the number at the start of a file such as /sys/fs/cgroup/memory.max. SIZE_MAX if the file does not
// exist or says "max".
size_t read_number(const char* path) {
    std::ifstream file(path);
    size_t number = 0;
    return file >> number ? number : SIZE_MAX;
}

// Return the number after a name in a file with lines "name number". SIZE_MAX if the name is missing.
size_t read_entry(const char* path, const std::string& name) {
    std::ifstream file(path);
    std::string key;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        size_t number = 0;
        if (words >> key >> number && key == name) {
            return number;
        }
    }
    return SIZE_MAX;
}

size_t free_in_system() {
#ifdef _WIN32
    return free_system_memory();
#else
    const size_t kib = read_entry("/proc/meminfo", "MemAvailable:");
    return kib == SIZE_MAX ? SIZE_MAX : kib * 1024;
#endif
}

size_t free_in_container() {
    const size_t limit = read_number("/sys/fs/cgroup/memory.max");
    const size_t used = read_number("/sys/fs/cgroup/memory.current");
    const size_t page_cache =
        read_entry("/sys/fs/cgroup/memory.stat", "file"); // the kernel frees it when memory is needed
    if (limit == SIZE_MAX || used == SIZE_MAX || page_cache == SIZE_MAX) {
        return SIZE_MAX;
    }
    const size_t held = used - std::min(used, page_cache);
    return limit - std::min(limit, held);
}

} // namespace

size_t free_memory_bytes() {
    return std::min(free_in_container(), free_in_system());
}

} // namespace xlc
