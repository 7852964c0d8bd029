// The keys and values in the header of a GGUF file, and the names of its tensors.
#pragma once

#include "gguf.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace xlc {

// Converts to false if the file is not a GGUF file.
class GgufMetadata {
public:
    explicit GgufMetadata(const std::string& path)
        : context_(gguf_init_from_file(path.c_str(), {true, nullptr})) {}

    explicit operator bool() const { return context_ != nullptr; }

    std::string text(const std::string& key) const {
        const int64_t id = find(key);
        return id >= 0 && gguf_get_kv_type(context_.get(), id) == GGUF_TYPE_STRING
                   ? gguf_get_val_str(context_.get(), id)
                   : "";
    }

    // If a file has one number per layer, return the largest.
    int64_t number(const std::string& key, int64_t fallback) const {
        const int64_t id = find(key);
        if (id < 0) {
            return fallback;
        }
        switch (gguf_get_kv_type(context_.get(), id)) {
        case GGUF_TYPE_UINT16:
            return gguf_get_val_u16(context_.get(), id);
        case GGUF_TYPE_UINT32:
            return gguf_get_val_u32(context_.get(), id);
        case GGUF_TYPE_INT32:
            return gguf_get_val_i32(context_.get(), id);
        case GGUF_TYPE_UINT64:
            return static_cast<int64_t>(gguf_get_val_u64(context_.get(), id));
        case GGUF_TYPE_ARRAY: {
            const std::vector<int64_t> values = numbers(key);
            return values.empty() ? fallback : *std::max_element(values.begin(), values.end());
        }
        default:
            return fallback;
        }
    }

    bool flag(const std::string& key, bool fallback) const {
        const int64_t id = find(key);
        return id >= 0 && gguf_get_kv_type(context_.get(), id) == GGUF_TYPE_BOOL
                   ? gguf_get_val_bool(context_.get(), id)
                   : fallback;
    }

    std::vector<int64_t> numbers(const std::string& key) const {
        const int64_t id = find(key);
        std::vector<int64_t> out;
        if (is_array(id, GGUF_TYPE_UINT32) || is_array(id, GGUF_TYPE_INT32)) {
            const auto* values = static_cast<const int32_t*>(gguf_get_arr_data(context_.get(), id));
            out.assign(values, values + gguf_get_arr_n(context_.get(), id));
        }
        return out;
    }

    std::vector<const char*> texts(const std::string& key) const {
        const int64_t id = find(key);
        std::vector<const char*> out(is_array(id, GGUF_TYPE_STRING) ? gguf_get_arr_n(context_.get(), id) : 0);
        for (size_t i = 0; i < out.size(); i++) {
            out[i] = gguf_get_arr_str(context_.get(), id, i);
        }
        return out;
    }

    bool has(const std::string& key) const { return find(key) >= 0; }
    bool has_tensor(const char* name) const { return gguf_find_tensor(context_.get(), name) >= 0; }

private:
    int64_t find(const std::string& key) const { return gguf_find_key(context_.get(), key.c_str()); }

    bool is_array(int64_t id, gguf_type type) const {
        return id >= 0 && gguf_get_kv_type(context_.get(), id) == GGUF_TYPE_ARRAY &&
               gguf_get_arr_type(context_.get(), id) == type;
    }

    struct Free {
        void operator()(gguf_context* context) const { gguf_free(context); }
    };

    std::unique_ptr<gguf_context, Free> context_;
};

} // namespace xlc
