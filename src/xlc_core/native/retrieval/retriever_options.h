// How a retriever runs its model, and what a request may ask for.
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
    int n_batch_tokens = 0; // tokens to fill a micro-batch up to; 0: what is fastest on the device
    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_UNSPECIFIED; // UNSPECIFIED: what the file says
    enum llama_flash_attn_type flash_attn = LLAMA_FLASH_ATTN_TYPE_AUTO;
    bool offload_kqv = true;
    bool own_kernels =
        true; // run BERT-like encoders on a CPU without llama.cpp's graph (bert/bert_encoder.h)
};

struct EmbedOptions {
    Truncate truncate = Truncate::error;
    bool normalize = true;
    std::string prefix;     // put before each text; never truncated away
    int dimensions = 0;     // keep this many of a Matryoshka embedding; 0: all
    size_t first_index = 0; // what errors call the first text: its place in what the texts are a part of
    size_t stream = 0;      // jobs of one stream, but 0, run one after another and have one turn together
};

struct RerankOptions {
    Truncate truncate = Truncate::error;
    std::optional<std::string> instruction; // what a match is; nullopt: as the model's template says
    bool sentence_types =
        true; // type the document's tokens as sentence B, where the model tells sentences apart
};

} // namespace xlc
