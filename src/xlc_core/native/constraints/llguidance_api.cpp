#include "constraints/llguidance_api.h"

#include "support/errors.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#endif

namespace xlc::llg {

namespace {

constexpr const char* remedy = "; install it with: pip install 'llguidance>=1.7.5,<2'";

[[noreturn]] void unusable(const std::string& reason) {
    throw Error(
        ErrorKind::unsupported_feature, "constraints need the package llguidance, " + reason + remedy);
}

#ifdef _WIN32
using Library = HMODULE;

Library open_library(const std::string& path) {
    const int n_wide = MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, nullptr, 0);
    std::wstring wide(static_cast<size_t>(n_wide > 0 ? n_wide : 1), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, wide.data(), n_wide);
    // The altered search path finds the libraries that the wheel has beside its own.
    Library library = LoadLibraryExW(wide.c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
    if (library == nullptr) {
        unusable("but " + path + " does not open (Windows error " + std::to_string(GetLastError()) + ")");
    }
    return library;
}

void* find_symbol(Library library, const char* name) {
    return reinterpret_cast<void*>(GetProcAddress(library, name));
}
#else
using Library = void*;

// Whether the process may have address space of twice a file's size. Without it the loader's reason names a
// segment or an allocation, in words of each C library's own.
bool has_room_for(const std::string& path) {
    struct stat file{};
    if (stat(path.c_str(), &file) != 0 || file.st_size == 0) {
        return true;
    }
    const auto size = static_cast<size_t>(file.st_size);
    void* room = mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return false;
    }
    munmap(room, 2 * size);
    return true;
}

Library open_library(const std::string& path) {
    // RTLD_LOCAL keeps its symbols apart from those of another copy in the process. Its undefined Python
    // symbols are found in the interpreter, so the library only opens inside a Python process.
    Library library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* reason = dlerror();
        if (!has_room_for(path)) {
            throw Error(
                ErrorKind::insufficient_memory, "no address space to open llguidance for a constraint; raise "
                                                "the process's limit (ulimit -v)");
        }
        unusable("but it does not open: " + std::string(reason != nullptr ? reason : path.c_str()));
    }
    return library;
}

void* find_symbol(Library library, const char* name) {
    return dlsym(library, name);
}
#endif

template<typename Function> void load(Library library, const char* name, Function& function) {
    void* symbol = find_symbol(library, name);
    if (symbol == nullptr) {
        unusable("but the installed one does not have " + std::string(name));
    }
    function = reinterpret_cast<Function>(symbol);
}

// "llguidance@1.9.1 derivre@0.3.13"
void check_version(const char* version) {
    int major = 0;
    int minor = 0;
    const char* at = std::strchr(version, '@');
    if (at != nullptr) {
        char* end = nullptr;
        major = static_cast<int>(std::strtol(at + 1, &end, 10));
        minor = *end == '.' ? static_cast<int>(std::strtol(end + 1, nullptr, 10)) : 0;
    }
    if (major != 1 || minor < 7) {
        unusable("but the installed one is " + std::string(version));
    }
}

// ConstraintInit does not carry its size. If upstream adds a field, the library would write past our struct.
// So the library fills a struct in a marked buffer, and we check that it wrote our fields and nothing beyond.
void check_layout(const Api& table) {
    constexpr unsigned char mark = 0xA5;
    struct {
        ConstraintInit init;
        unsigned char behind[256];
    } probe;
    std::memset(&probe, mark, sizeof(probe));
    const auto* tokenizer = reinterpret_cast<const Tokenizer*>(&probe);
    table.constraint_init_set_defaults(&probe.init, tokenizer);

    bool fits = probe.init.tokenizer == tokenizer && probe.init.log_buffer_level <= 2 &&
                probe.init.log_stderr_level <= 2 && probe.init.limits.max_items_in_row == 2000 &&
                probe.init.limits.max_grammar_size == 500'000;
    unsigned char verbose_errors = mark;
    std::memcpy(&verbose_errors, &probe.init.limits.verbose_errors, 1);
    fits = fits && verbose_errors <= 1;
    for (const unsigned char byte : probe.behind) {
        fits = fits && byte == mark;
    }
    if (!fits) {
        unusable("but " + std::string(table.get_version()) + " lays out its options differently");
    }
}

Api open_api(const std::string& path) {
    if (path.empty()) {
        unusable("which is not installed");
    }
    Library library = open_library(path);
    Api table = {};
    load(library, "llg_get_version", table.get_version);
    check_version(table.get_version());
    load(library, "llg_constraint_init_set_defaults", table.constraint_init_set_defaults);
    load(library, "llg_new_tokenizer_v2", table.new_tokenizer_v2);
    load(library, "llg_free_tokenizer", table.free_tokenizer);
    load(library, "llg_new_matcher", table.new_matcher);
    load(library, "llg_clone_matcher", table.clone_matcher);
    load(library, "llg_free_matcher", table.free_matcher);
    load(library, "llg_matcher_get_error", table.matcher_get_error);
    load(library, "llg_matcher_compute_mask", table.matcher_compute_mask);
    load(library, "llg_matcher_get_mask", table.matcher_get_mask);
    load(library, "llg_matcher_get_mask_byte_size", table.matcher_get_mask_byte_size);
    load(library, "llg_matcher_consume_token", table.matcher_consume_token);
    load(library, "llg_matcher_validate_tokens", table.matcher_validate_tokens);
    load(library, "llg_matcher_compute_ff_tokens", table.matcher_compute_ff_tokens);
    load(library, "llg_matcher_reset", table.matcher_reset);
    load(library, "llg_matcher_is_accepting", table.matcher_is_accepting);
    load(library, "llg_matcher_is_stopped", table.matcher_is_stopped);
    check_layout(table);
    return table;
}

// Never destroyed: decode threads may outlive static destructors.
struct Opening {
    std::mutex mutex;
    std::string path;
};

Opening& opening() {
    static auto* state = new Opening;
    return *state;
}

} // namespace

void set_library_path(std::string path) {
    std::lock_guard<std::mutex> lock(opening().mutex);
    opening().path = std::move(path);
}

const Api& api() {
    // The initialiser of a static runs again if it threw before, so a wheel that was installed later is
    // found.
    static const Api table = [] {
        std::string path;
        {
            std::lock_guard<std::mutex> lock(opening().mutex);
            path = opening().path;
        }
        return open_api(path);
    }();
    return table;
}

std::string matcher_error(Matcher* matcher) {
    const char* reason = api().matcher_get_error(matcher);
    std::string text(reason != nullptr ? reason : "");
    // The text after these marks only helps llguidance's authors: a panic's backtrace, or a printed state.
    for (const char* tail : {"\n<non-verbose/>", "\n<backtrace>"}) {
        text.resize(std::min(text.find(tail), text.size()));
    }
    return text;
}

void TokenizerDeleter::operator()(Tokenizer* tokenizer) const {
    api().free_tokenizer(tokenizer);
}

void MatcherDeleter::operator()(Matcher* matcher) const {
    api().free_matcher(matcher);
}

} // namespace xlc::llg
