// Finds tensors of a model by name, for code that must know all of them.
#pragma once

#include "retrieval/retrieval_traits.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <set>
#include <string>

namespace xlc {

// Remembers which tensors it returned. A model that has other tensors too is a different kind of model.
class TensorFinder {
public:
    explicit TensorFinder(const llama_model* model) : model_(model) {}

    const ggml_tensor* optional(const std::string& name) {
        const ggml_tensor* tensor = find_tensor(model_, name);
        if (tensor) {
            given_.insert(name);
            const bool on_host =
                tensor->data && (!tensor->buffer || ggml_backend_buffer_is_host(tensor->buffer));
            readable_ = readable_ && on_host && can_read(tensor);
        }
        return tensor;
    }

    const ggml_tensor* required(const std::string& name) {
        const ggml_tensor* tensor = optional(name);
        complete_ = complete_ && tensor;
        return tensor;
    }

    // Whether all required tensors exist and are readable, and the model has no others.
    bool satisfied() const { return complete_ && readable_ && given_.size() == tensors_of(model_).size(); }

private:
    const llama_model* model_;
    std::set<std::string> given_;
    bool complete_ = true;
    bool readable_ = true;
};

} // namespace xlc
