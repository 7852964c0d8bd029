// The keys and values in the header of a GGUF file, and the names of its tensors. Of a model that is split
// into several files, the first has the keys, and each has the names of some tensors.
#pragma once

#include "support/gguf_checks.h"

#include "gguf.h"
#include "llama.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace xlc {

// Converts to false if the file is not a GGUF file.
class GgufMetadata {
public:
    explicit GgufMetadata(const std::string& path)
        : context_(gguf_init_from_file(path.c_str(), {true, nullptr})), paths_{path} {
        if (context_ != nullptr && n_parts() > 1 && n_parts() <= most_parts && part() == 0) {
            read_other_parts();
        }
    }

    explicit operator bool() const { return context_ != nullptr; }

    // How many files the model is split into, and which of them this is, from 0.
    int64_t n_parts() const { return number("split.count", 1); }
    int64_t part() const { return number("split.no", 0); }

    // The files that exist, the first one first.
    const std::vector<std::string>& paths() const { return paths_; }

    // The fault of the files together; empty if they are sound. Each was checked by itself.
    std::string find_fault() const {
        std::vector<const gguf_context*> parts = {context_.get()};
        for (const Context& other : others_) {
            parts.push_back(other.get());
        }
        return parts.size() > 1 ? find_split_fault(parts) : "";
    }

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
    bool has_tensor(const char* name) const {
        return gguf_find_tensor(context_.get(), name) >= 0 ||
               std::any_of(others_.begin(), others_.end(), [name](const Context& other) {
                   return gguf_find_tensor(other.get(), name) >= 0;
               });
    }

private:
    int64_t find(const std::string& key) const { return gguf_find_key(context_.get(), key.c_str()); }

    bool is_array(int64_t id, gguf_type type) const {
        return id >= 0 && gguf_get_kv_type(context_.get(), id) == GGUF_TYPE_ARRAY &&
               gguf_get_arr_type(context_.get(), id) == type;
    }

    struct Free {
        void operator()(gguf_context* context) const { gguf_free(context); }
    };

    using Context = std::unique_ptr<gguf_context, Free>;

    static constexpr int64_t most_parts = UINT16_MAX; // llama.cpp refuses numbers of another type

    void read_other_parts() {
        const auto count = static_cast<int32_t>(n_parts());
        std::vector<char> buffer(paths_[0].size() + 64);
        const int32_t room = static_cast<int32_t>(buffer.size());
        const int32_t length = llama_split_prefix(buffer.data(), room, paths_[0].c_str(), 0, count);
        if (length <= 0) { // another name: llama.cpp will refuse to load it
            return;
        }
        const std::string prefix(buffer.data(), static_cast<size_t>(length));
        for (int32_t i = 1; i < count; i++) {
            const int32_t n_path = llama_split_path(buffer.data(), room, prefix.c_str(), i, count);
            std::string path(buffer.data(), n_path > 0 ? static_cast<size_t>(n_path) : 0);
            if (Context other{gguf_init_from_file(path.c_str(), {true, nullptr})}; other != nullptr) {
                others_.push_back(std::move(other));
                paths_.push_back(std::move(path));
            }
        }
    }

    Context context_;
    std::vector<Context> others_;
    std::vector<std::string> paths_;
};

} // namespace xlc
