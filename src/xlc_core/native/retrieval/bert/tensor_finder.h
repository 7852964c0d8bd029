// Finds tensors of a model by name, for code that must know all of them.
#pragma once

#include "retrieval/retrieval_traits.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace xlc {

// Remembers which tensors it returned. A model that has other tensors too is a different kind of model. Each
// tensor is found with the sizes that it must have, innermost first; any_size stands for a size that is not
// known.
class TensorFinder {
public:
    using Sizes = std::vector<int64_t>;
    static constexpr int64_t any_size = -1;

    explicit TensorFinder(const llama_model* model) : model_(model) {}

    const ggml_tensor* optional(const std::string& name, const Sizes& sizes) {
        const ggml_tensor* tensor = find_tensor(model_, name);
        if (tensor) {
            given_.insert(name);
            const bool on_host =
                tensor->data && (!tensor->buffer || ggml_backend_buffer_is_host(tensor->buffer));
            readable_ = readable_ && on_host && can_read(tensor);
            compare(*tensor, name, sizes);
        }
        return tensor;
    }

    const ggml_tensor* required(const std::string& name, const Sizes& sizes) {
        const ggml_tensor* tensor = optional(name, sizes);
        complete_ = complete_ && tensor;
        return tensor;
    }

    // Whether all required tensors exist and are readable, and the model has no others.
    bool satisfied() const { return complete_ && readable_ && given_.size() == tensors_of(model_).size(); }

    // Return a text about the first tensor with other sizes; empty if all fit.
    const std::string& mismatch() const { return mismatch_; }

private:
    static std::string shape(const Sizes& sizes) {
        std::string text;
        for (const int64_t size : sizes) {
            text +=
                (text.empty() ? "" : " × ") + (size == any_size ? std::string("n") : std::to_string(size));
        }
        return text;
    }

    void compare(const ggml_tensor& tensor, const std::string& name, const Sizes& sizes) {
        Sizes found(tensor.ne, tensor.ne + GGML_MAX_DIMS);
        Sizes wanted = sizes;
        wanted.resize(GGML_MAX_DIMS, 1);
        const bool fits = std::equal(found.begin(), found.end(), wanted.begin(), [](int64_t a, int64_t b) {
            return a == b || b == any_size;
        });
        if (!fits && mismatch_.empty()) {
            found.resize(std::max(sizes.size(), static_cast<size_t>(ggml_n_dims(&tensor))));
            mismatch_ = "'" + name + "' has " + shape(found) + " numbers instead of " + shape(sizes);
        }
    }

    const llama_model* model_;
    std::set<std::string> given_;
    std::string mismatch_;
    bool complete_ = true;
    bool readable_ = true;
};

} // namespace xlc
