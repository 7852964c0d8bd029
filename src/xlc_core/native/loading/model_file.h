// The metadata of a GGUF file, read without loading its weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace xlc {

struct ModelFile {
    std::string path;
    std::string architecture;
    std::vector<std::string> names; // general.name and general.basename, if the file has them
    // Prompts by their purpose, such as "query"; from our key xllama.prompt.*
    std::map<std::string, std::string> prompts;
    std::string chat_template; // empty: the file does not have one
    std::string pooling;       // as in the public options; empty: not in the file
    bool causal = true;        // false: an encoder, which cannot generate
    bool shares_cache = true;  // false: recurrent layers, whose states sequences cannot share
    int64_t n_window = 0;      // tokens that some layers look back; 0: without limit
    bool has_rank_head = false;
    bool sees = false;  // a projector for images
    bool hears = false; // a projector for sound
    int64_t n_ctx_train = 0;
    int64_t n_layer = 0;
    int64_t n_embd = 0;
    int64_t n_embd_k = 0; // numbers of one token's keys in one layer's cache
    int64_t n_embd_v = 0;
    int64_t file_bytes = 0;

    // Bytes of one token in the KV cache of all layers, at f16. An upper bound: it ignores sliding windows
    // and recurrent layers.
    int64_t kv_bytes_per_token() const { return n_layer * (n_embd_k + n_embd_v) * 2; }
};

// Throws Error(model_not_found) if the path is not a file, and Error(model_load) if it is not a GGUF file.
ModelFile read_model_file(const std::string& path);

} // namespace xlc
