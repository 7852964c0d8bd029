#include "support/gguf_checks.h"

#include "ggml.h"
#include "gguf.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

namespace xlc {

namespace {

bool ends_with(const std::string& text, const char* end) {
    const size_t n = std::strlen(end);
    return text.size() >= n && text.compare(text.size() - n, n, end) == 0;
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

// Whether a tensor holds numbers of tokens or experts, not weights.
bool is_table(const std::string& name) {
    return name == "d2t" || contains(name, "tid2eid");
}

// ggml multiplies only with weights of types that it can convert. For others it calls a null pointer.
std::string find_type_fault(const gguf_context* file) {
    for (int64_t i = 0; i < gguf_get_n_tensors(file); i++) {
        const std::string name = gguf_get_tensor_name(file, i);
        const ggml_type type = gguf_get_tensor_type(file, i);
        if (type != GGML_TYPE_F32 && ggml_get_type_traits(type)->to_float == nullptr && !is_table(name)) {
            return "has a tensor '" + name + "' of type " + ggml_type_name(type) +
                   ", which cannot be the type of weights";
        }
    }
    return "";
}

std::optional<double> number_at(gguf_type type, const void* data, size_t i) {
    switch (type) {
    case GGUF_TYPE_UINT8:
        return static_cast<const uint8_t*>(data)[i];
    case GGUF_TYPE_INT8:
        return static_cast<const int8_t*>(data)[i];
    case GGUF_TYPE_UINT16:
        return static_cast<const uint16_t*>(data)[i];
    case GGUF_TYPE_INT16:
        return static_cast<const int16_t*>(data)[i];
    case GGUF_TYPE_UINT32:
        return static_cast<const uint32_t*>(data)[i];
    case GGUF_TYPE_INT32:
        return static_cast<const int32_t*>(data)[i];
    case GGUF_TYPE_FLOAT32:
        return static_cast<const float*>(data)[i];
    case GGUF_TYPE_UINT64:
        return static_cast<double>(static_cast<const uint64_t*>(data)[i]);
    case GGUF_TYPE_INT64:
        return static_cast<double>(static_cast<const int64_t*>(data)[i]);
    case GGUF_TYPE_FLOAT64:
        return static_cast<const double*>(data)[i];
    default:
        return std::nullopt;
    }
}

// Return a field's number or numbers; empty for other types.
std::vector<double> numbers_of(const gguf_context* file, int64_t field) {
    gguf_type type = gguf_get_kv_type(file, field);
    size_t n = 1;
    const void* data = nullptr;
    if (type == GGUF_TYPE_ARRAY) {
        type = gguf_get_arr_type(file, field);
        if (type == GGUF_TYPE_STRING || type == GGUF_TYPE_BOOL) {
            return {};
        }
        n = gguf_get_arr_n(file, field);
        data = n > 0 ? gguf_get_arr_data(file, field) : nullptr;
    } else if (type != GGUF_TYPE_STRING && type != GGUF_TYPE_BOOL) {
        data = gguf_get_val_data(file, field);
    }
    std::vector<double> numbers;
    for (size_t i = 0; data != nullptr && i < n; i++) {
        if (const std::optional<double> number = number_at(type, data, i)) {
            numbers.push_back(*number);
        }
    }
    return numbers;
}

// The values that a field may have. The keys are those of llama.cpp, without the architecture.
struct Range {
    const char* key;
    double least;
    double most;
};

constexpr double any_count = 2147483647.0; // llama.cpp keeps counts in int32_t in places

// Sizes by which llama.cpp or ggml divides, or for which it reserves memory.
constexpr Range ranges[] = {
    {".block_count", 1, 512},
    {".context_length", 1, any_count},
    {".embedding_length", 1, 1 << 20},
    {".feed_forward_length", 0, 1 << 24},
    {".attention.head_count", 0, 1 << 16},
    {".attention.head_count_kv", 0, 1 << 16},
    {".attention.key_length", 1, 1 << 16},
    {".attention.value_length", 1, 1 << 16},
    {".attention.sliding_window", 0, any_count},
    {".attention.key_length_swa", 1, 1 << 16},
    {".attention.value_length_swa", 1, 1 << 16},
    {".rope.dimension_count", 1, 1 << 16}, // with 0, ggml's loop over a head would not end
    {".rope.dimension_count_swa", 1, 1 << 16},
    {".expert_count", 0, 1 << 16},
    {".expert_used_count", 0, 1 << 16},
    {".pooling_type", 0, 4},
    {".vocab_size", 0, 1 << 26},
};

std::string shown(double number) {
    const bool whole = number == std::floor(number) && std::fabs(number) < 1e18;
    return whole ? std::to_string(static_cast<int64_t>(number)) : std::to_string(number);
}

std::string find_number_fault(const gguf_context* file) {
    for (int64_t field = 0; field < gguf_get_n_kv(file); field++) {
        const std::string key = gguf_get_key(file, field);
        for (const Range& range : ranges) {
            if (!ends_with(key, range.key)) {
                continue;
            }
            for (const double number : numbers_of(file, field)) {
                if (!(number >= range.least && number <= range.most)) { // also NaN
                    return "has " + key + " = " + shown(number) + ", but it must be from " +
                           shown(range.least) + " to " + shown(range.most);
                }
            }
        }
    }
    return "";
}

// Return the largest number of a field; 0 if it does not have any.
double largest(const gguf_context* file, const std::string& key) {
    const int64_t field = gguf_find_key(file, key.c_str());
    double most = 0;
    for (const double number : field < 0 ? std::vector<double>() : numbers_of(file, field)) {
        most = std::fmax(most, number);
    }
    return most;
}

bool has_attention(const gguf_context* file) {
    for (int64_t i = 0; i < gguf_get_n_tensors(file); i++) {
        const std::string name = gguf_get_tensor_name(file, i);
        if (name.compare(0, 4, "blk.") == 0 &&
            (ends_with(name, ".attn_q.weight") || ends_with(name, ".attn_qkv.weight"))) {
            return true;
        }
    }
    return false;
}

// Heads are not counted in models without attention. In others llama.cpp divides by their number. Only the
// first part of a split model has the metadata.
std::string find_head_fault(const gguf_context* file, bool attends) {
    const int64_t field = gguf_find_key(file, "general.architecture");
    if (field < 0 || gguf_get_kv_type(file, field) != GGUF_TYPE_STRING || largest(file, "split.no") > 0) {
        return "";
    }
    const std::string architecture = gguf_get_val_str(file, field);
    if (!attends || architecture == "clip") {
        return "";
    }
    const std::string key = architecture + ".attention.head_count";
    const double n_heads = largest(file, key);
    const double n_embd = largest(file, architecture + ".embedding_length");
    if (n_heads <= 0) {
        return "has layers with attention, but its " + key + " is missing or 0";
    }
    if (n_heads > n_embd) { // the size of a head would be 0
        return "has " + key + " = " + shown(n_heads) + ", but " + architecture +
               ".embedding_length = " + shown(n_embd);
    }
    return "";
}

// The loader of projectors for pictures takes any of these tensors as optional, and computes with all of
// them. A null pointer would end the process.
std::string find_projector_fault(const gguf_context* file) {
    for (int64_t i = 0; i < gguf_get_n_tensors(file); i++) {
        const std::string name = gguf_get_tensor_name(file, i);
        if (name.compare(0, 6, "v.blk.") != 0) {
            continue;
        }
        for (const char* one : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
            if (!ends_with(name, one)) {
                continue;
            }
            const std::string layer = name.substr(0, name.size() - std::strlen(one));
            for (const char* other : {"attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_out.weight"}) {
                if (gguf_find_tensor(file, (layer + other).c_str()) < 0) {
                    return "has a tensor '" + name + "' but no '" + layer + other + "'";
                }
            }
        }
    }
    return "";
}

} // namespace

std::string find_fault(const gguf_context* file) {
    for (const auto find : {find_type_fault, find_number_fault, find_projector_fault}) {
        if (const std::string fault = find(file); !fault.empty()) {
            return fault;
        }
    }
    return find_head_fault(file, has_attention(file));
}

std::string find_split_fault(const std::vector<const gguf_context*>& parts) {
    return find_head_fault(parts.front(), std::any_of(parts.begin(), parts.end(), has_attention));
}

} // namespace xlc
