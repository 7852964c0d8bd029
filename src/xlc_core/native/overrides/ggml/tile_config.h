// _tile_loadconfig as the processor does it.
// Old versions of GCC (12 is one) declare that ldtilecfg reads 8 bytes, while it reads 64. The optimiser then
// drops the stores of all rows and columns, and the first tile instruction ends the process with SIGILL.
#pragma once

#if defined(__AMX_INT8__) && defined(__AVX512VNNI__) && defined(__GNUC__) && !defined(__clang__)

#include <immintrin.h>

static inline void xlc_load_tile_config(const void* config) {
    __asm__ volatile("ldtilecfg\t%X0" ::"m"(*static_cast<const char (*)[64]>(config)));
}

#undef _tile_loadconfig
#define _tile_loadconfig(config) xlc_load_tile_config(config)

#endif
