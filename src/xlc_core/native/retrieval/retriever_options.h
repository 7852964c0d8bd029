// Options of a retriever, and options of one request.
#pragma once

#include "retrieval/tokenizing.h"

#include <llama.h>

#include <cstddef>
#include <optional>
#include <string>

namespace xlc {

struct RetrieverOptions {
    int n_threads = 1;
    int n_ctx = 0;          // tokens of the longest input; 0: as many as the model was trained with
    int n_batch_tokens = 0; // tokens of a full micro-batch; 0: the fastest number on the device
    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_UNSPECIFIED; // UNSPECIFIED: the file's pooling
    enum llama_flash_attn_type flash_attn = LLAMA_FLASH_ATTN_TYPE_AUTO;
    bool offload_kqv = true;
    bool own_kernels =
        true; // run BERT-like encoders on a CPU without llama.cpp's graph (bert/bert_encoder.h)
};

struct EmbedOptions {
    Truncate truncate = Truncate::error;
    bool normalize = true;
    std::string prefix;     // put before each text; never truncated
    int dimensions = 0;     // keep this many dimensions of a Matryoshka embedding; 0: all
    size_t first_index = 0; // number of the first text in error messages: its place in a longer list
    size_t stream = 0;      // jobs with the same number run in order and share one turn; 0: not a stream
};

struct RerankOptions {
    Truncate truncate = Truncate::error;
    std::optional<std::string> instruction; // says what a match is; nullopt: the template's instruction
    bool sentence_types =
        true; // mark the document's tokens as sentence B, if the model distinguishes sentences
};

} // namespace xlc
