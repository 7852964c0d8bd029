#include "support/processor.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace xlc {

namespace {

// The numbers that the instruction cpuid gives (Intel's manual, volume 2A). GCC's __builtin_cpu_supports asks
// a runtime library, and that of other compilers may say no to everything (Zig's).
enum Word { leaf_1_ecx, leaf_7_ebx, leaf_7_ecx, leaf_7_edx, leaf_7_1_eax, n_words };

// Registers that the system saves when threads change, as bits of XCR0 (volume 1, section 13.1).
constexpr uint32_t ymm = 0x06;
constexpr uint32_t zmm = 0xe6;
constexpr uint32_t tiles = 0x60000;

struct Needs {
    Word word;
    int bit;
    uint32_t registers;
};

// In the order of InstructionSet.
constexpr std::array<Needs, 12> needs = {{
    {leaf_1_ecx, 28, ymm},
    {leaf_7_ebx, 5, ymm},
    {leaf_1_ecx, 12, ymm},
    {leaf_1_ecx, 29, ymm},
    {leaf_7_ebx, 8, 0},
    {leaf_7_1_eax, 4, ymm},
    {leaf_7_ebx, 16, zmm},
    {leaf_7_ebx, 30, zmm},
    {leaf_7_ecx, 1, zmm},
    {leaf_7_ecx, 11, zmm},
    {leaf_7_1_eax, 5, zmm},
    {leaf_7_edx, 25, tiles},
}};

struct Processor {
    std::array<uint32_t, n_words> words{};
    uint32_t saved = 0;

    Processor() {
        constexpr uint32_t has_xgetbv = 1U << 27;
        uint32_t eax = 0;
        uint32_t ebx = 0;
        uint32_t ecx = 0;
        uint32_t edx = 0;
        if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) {
            words[leaf_1_ecx] = ecx;
        }
        if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
            const uint32_t last_subleaf = eax;
            words[leaf_7_ebx] = ebx;
            words[leaf_7_ecx] = ecx;
            words[leaf_7_edx] = edx;
            if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) {
                words[leaf_7_1_eax] = eax;
            }
        }
        if ((words[leaf_1_ecx] & has_xgetbv) != 0) {
            __asm__("xgetbv" : "=a"(saved), "=d"(edx) : "c"(0));
        }
    }
};

} // namespace

bool runs(InstructionSet set) {
    static const Processor processor;
    const Needs& wanted = needs.at(static_cast<size_t>(set));
    return (processor.words[wanted.word] >> wanted.bit & 1) != 0 &&
           (processor.saved & wanted.registers) == wanted.registers;
}

} // namespace xlc

#else

namespace xlc {

bool runs(InstructionSet /* set */) {
    return true;
}

} // namespace xlc

#endif
