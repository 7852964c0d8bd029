// ggml's ggml-cpu/amx/mmq.cpp, with a tile configuration that is complete.

#include "overrides/ggml/tile_config.h"

#include "ggml/src/ggml-cpu/amx/mmq.cpp"
