#include "overrides/access/draft_checks.h"

#include "support/abort_guard.h"
#include "support/errors.h"
#include "support/gguf_metadata.h"

#include "common.h"
#include "ggml-backend.h"
#include "llama-context.h"
#include "llama-ext.h"
#include "llama-model.h"
#include "llama.h"
#include "speculative.h"

#include <algorithm>
#include <cstring>

namespace xlc {

namespace {

// The same limit as llama.cpp's for draft models: files of one family may pad their vocabularies differently.
constexpr int64_t max_more_tokens = 128;

constexpr const char* gemma_assistant = "gemma4-assistant"; // a head for draft-mtp

constexpr common_speculative_type heads[] = {
    COMMON_SPECULATIVE_TYPE_DRAFT_EAGLE3, COMMON_SPECULATIVE_TYPE_DRAFT_DFLASH,
    COMMON_SPECULATIVE_TYPE_DRAFT_DSPARK};

bool wants(const common_params_speculative& wanted, common_speculative_type type) {
    return std::count(wanted.types.begin(), wanted.types.end(), type) > 0;
}

bool is_draft_model(common_speculative_type type) {
    return type == COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE || type == COMMON_SPECULATIVE_TYPE_DRAFT_MTP ||
           std::count(std::begin(heads), std::end(heads), type) > 0;
}

[[noreturn]] void refuse(common_speculative_type type, const std::string& reason) {
    throw Error(
        ErrorKind::model_load,
        "speculation '" + common_speculative_type_to_str(type) + "' could not start: " + reason);
}

// Return llama.cpp's name of the head in a file. Empty for a model, or a head for draft-mtp.
std::string kind_of_head(const GgufMetadata& file) {
    const std::string architecture = file.text("general.architecture");
    if (architecture == "dflash") {
        return file.has_tensor("markov_w1.weight") ? "draft-dspark" : "draft-dflash";
    }
    return architecture == "eagle3" ? "draft-eagle3" : "";
}

bool same_vocabulary(const std::vector<const char*>& tokens, const llama_vocab* vocab) {
    const auto n_model = static_cast<int64_t>(llama_vocab_n_tokens(vocab));
    const auto n_head = static_cast<int64_t>(tokens.size());
    const int64_t n = std::min(n_model, n_head);
    int64_t n_other = 0;
    for (int64_t i = 0; i < n; i++) {
        const char* own = llama_vocab_get_text(vocab, static_cast<llama_token>(i));
        n_other += std::strcmp(own, tokens[static_cast<size_t>(i)]) != 0 ? 1 : 0;
    }
    // Padding tokens have other names in some files.
    return std::abs(n_model - n_head) <= max_more_tokens && n_other <= std::max<int64_t>(n / 100, 8);
}

void check_vocabulary(
    common_speculative_type type,
    const std::string& path,
    const GgufMetadata& file,
    const llama_model& model) {
    const std::vector<const char*> tokens = file.texts("tokenizer.ggml.tokens");
    if (!tokens.empty() && !same_vocabulary(tokens, llama_model_get_vocab(&model))) {
        refuse(
            type,
            "'" + path +
                "' is for a model with another vocabulary; use the head that was trained for this model");
    }
}

void check_head(
    common_speculative_type type,
    const std::string& path,
    const GgufMetadata& file,
    const llama_model& model) {
    const std::string prefix = file.text("general.architecture") + ".";
    const int64_t model_width = llama_model_n_embd(&model);
    const int64_t own_width = file.number(prefix + "embedding_length", 0);
    // A head with its own embeddings and output may have another width than the model whose states it reads.
    const bool may_differ = type == COMMON_SPECULATIVE_TYPE_DRAFT_EAGLE3 &&
                            file.has_tensor("token_embd.weight") && file.has_tensor("output.weight");
    const int64_t read_width = file.number(prefix + "target_hidden_size", own_width);
    const std::string remedy = "; use the head that was trained for this model";
    if (read_width != model_width || (!may_differ && own_width != model_width)) {
        refuse(
            type, "'" + path + "' is for a model with hidden states of " + std::to_string(read_width) +
                      " numbers, but this one's have " + std::to_string(model_width) + remedy);
    }
    for (const int64_t layer : file.numbers(prefix + "target_layers")) {
        if (layer < 0 || layer > llama_model_n_layer(&model)) {
            refuse(
                type, "'" + path + "' reads layer " + std::to_string(layer) +
                          " of its model, but this one has " + std::to_string(llama_model_n_layer(&model)) +
                          remedy);
        }
    }
    check_vocabulary(type, path, file, model);
    if (type == COMMON_SPECULATIVE_TYPE_DRAFT_DSPARK && file.number(prefix + "block_size", 0) < 1) {
        refuse(
            type,
            "'" + path + "' does not say how many tokens it drafts (dflash.block_size); convert it again");
    }
}

void check_file(common_speculative_type type, const std::string& path, const llama_model& model) {
    const GgufMetadata file(path);
    if (!file || file.number("split.count", 1) > 1) {
        return; // llama.cpp reports the fault; a part of a split file does not name all tensors
    }
    const std::string kind = kind_of_head(file);
    const std::string name = common_speculative_type_to_str(type);
    if (type == COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE) {
        if (!kind.empty()) {
            refuse(type, "'" + path + "' is not a model but a head for " + kind);
        }
    } else if (type == COMMON_SPECULATIVE_TYPE_DRAFT_MTP) {
        const std::string architecture = file.text("general.architecture");
        const bool has_layers = file.number(architecture + ".nextn_predict_layers", 0) > 0;
        if (!has_layers && architecture != gemma_assistant) {
            refuse(type, "'" + path + "' has no layers for it (multi-token prediction, MTP)");
        }
        check_vocabulary(type, path, file, model);
    } else if (kind != name) {
        const std::string architecture = file.text("general.architecture");
        refuse(
            type, "'" + path + "' is " +
                      (kind.empty() ? "not a head for it, its architecture is " + architecture
                                    : "a head for " + kind));
    } else {
        check_head(type, path, file, model);
    }
}

// Check the tables in which tokens are looked up on threads where a wrong token would end the process.
void check_tables(common_speculative_type type, const llama_model& head, const llama_model& model) {
    const llama_vocab* vocab = llama_model_get_vocab(&head);
    const int64_t n_tokens = llama_vocab_n_tokens(vocab);
    const ggml_tensor* words = head.tok_embd ? head.tok_embd : model.tok_embd;
    bool fits = words && words->ne[1] >= n_tokens;
    if (head.d2t && head.d2t->type == GGML_TYPE_I64) {
        std::vector<int64_t> numbers(static_cast<size_t>(head.d2t->ne[0]));
        ggml_backend_tensor_get(head.d2t, numbers.data(), 0, numbers.size() * sizeof(int64_t));
        const auto is_token = [&](int64_t number) { return number >= 0 && number < n_tokens; };
        fits = fits && std::all_of(numbers.begin(), numbers.end(), is_token);
    }
    if (!fits) {
        refuse(type, "the head drafts tokens that the model does not have; convert it again with this model");
    }
    const bool has_mask = llama_vocab_mask(vocab) >= 0 && llama_vocab_mask(vocab) < n_tokens;
    if (type != COMMON_SPECULATIVE_TYPE_DRAFT_EAGLE3 && !has_mask) {
        refuse(
            type, "the head does not name its mask token (tokenizer.ggml.mask_token_id); convert it again");
    }
}

} // namespace

bool is_head(const std::string& path) {
    const GgufMetadata file(path);
    return file && (!kind_of_head(file).empty() || file.text("general.architecture") == gemma_assistant);
}

void check_draft_file(const common_params_speculative& wanted, const llama_model& model) {
    if (!wanted.has_dft()) {
        if (wants(wanted, COMMON_SPECULATIVE_TYPE_DRAFT_MTP) && llama_model_n_layer_nextn(&model) == 0) {
            refuse(
                COMMON_SPECULATIVE_TYPE_DRAFT_MTP,
                "the model has no layers for it (multi-token prediction, MTP)");
        }
        return;
    }
    for (const common_speculative_type type : wanted.types) {
        if (is_draft_model(type)) {
            check_file(type, wanted.draft.mparams.path, model);
        }
    }
}

void check_draft_model(
    const common_params_speculative& wanted, const llama_model* draft, const llama_model& model) {
    for (const auto type : heads) {
        if (draft && wants(wanted, type)) {
            check_tables(type, *draft, model);
        }
    }
}

void check_layers(const common_params_speculative& wanted) {
    for (const auto type : heads) {
        if (!wants(wanted, type) || !wanted.draft.ctx_tgt) {
            continue;
        }
        const AssertionWatch expected;
        try {
            wanted.draft.ctx_tgt->sched_reserve(); // the first step would do the same
        } catch (const std::exception& error) {
            if (std::strstr(error.what(), "t_layer_inp") == nullptr) {
                throw;
            }
            char architecture[64] = "";
            llama_model_meta_val_str(
                llama_get_model(wanted.draft.ctx_tgt), "general.architecture", architecture,
                sizeof(architecture));
            refuse(
                type, std::string("llama.cpp does not let heads read the layers of the architecture ") +
                          architecture + "; use another kind of speculation");
        }
    }
}

} // namespace xlc
