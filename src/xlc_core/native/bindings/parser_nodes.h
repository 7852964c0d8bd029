// The parser that llama.cpp makes for the answers of a chat template, as plain data.
#pragma once

#include <nanobind/nanobind.h>

class common_peg_arena;

namespace xlc {

// Return (root, nodes). A node is a tuple of its kind and what that kind needs: texts, numbers, and the
// numbers of other nodes. None for an empty parser.
nanobind::object parser_nodes(const common_peg_arena& parser);

} // namespace xlc
