// Retriever and RetrievalJob: texts in, float32 arrays out, without a copy.
#include "bindings/gil_free_wait.h"
#include "bindings/text.h"
#include "loading/loading_errors.h"
#include "retrieval/retriever.h"
#include "support/errors.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace xlc {

namespace {

// Arrays read the job's own buffer and keep the job alive.
using Array = nb::ndarray<nb::numpy, float>;

// `what` names the item in an error message: "text 3", "the query".
std::string to_utf8(nb::handle item, const std::string& what) {
    if (!PyUnicode_Check(item.ptr())) {
        const std::string type = nb::cast<std::string>(item.type().attr("__name__"));
        throw Error(ErrorKind::invalid_request, what + " must be a str, not " + type);
    }
    Py_ssize_t n_bytes = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(item.ptr(), &n_bytes);
    if (bytes) {
        return {bytes, static_cast<size_t>(n_bytes)};
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        throw nb::python_error();
    }
    PyErr_Clear();
    throw Error(
        ErrorKind::invalid_request, what + " holds a lone surrogate, which is not a character; clean it with "
                                           "text.encode(\"utf-8\", \"replace\").decode()");
}

std::vector<std::string> to_utf8(const nb::sequence& items, const char* what, size_t first_index = 0) {
    if (PyUnicode_Check(items.ptr())) {
        throw Error(
            ErrorKind::invalid_request,
            std::string("expected a list of ") + what + "s, not one str; put it in a list");
    }
    std::vector<std::string> texts;
    texts.reserve(nb::len(items));
    constexpr size_t texts_between_breaks = 256;
    for (const nb::handle item : items) {
        if (texts.size() % texts_between_breaks == texts_between_breaks - 1) {
            const GilRelease others_run; // an event loop, maybe
        }
        texts.push_back(to_utf8(item, std::string(what) + " " + std::to_string(first_index + texts.size())));
    }
    return texts;
}

template<typename Value>
Value choose(const std::map<std::string, Value>& choices, const char* option, const std::string& name) {
    const auto choice = choices.find(name);
    if (choice != choices.end()) {
        return choice->second;
    }
    std::string names;
    for (const auto& [known, value] : choices) {
        names += (names.empty() ? "\"" : ", \"") + known + "\"";
    }
    throw Error(
        ErrorKind::invalid_request,
        std::string(option) + "=\"" + name + "\" is not known; it must be one of " + names);
}

Truncate to_truncate(const std::string& name) {
    return choose<Truncate>(
        {{"error", Truncate::error}, {"end", Truncate::end}, {"start", Truncate::start}}, "truncate", name);
}

enum llama_pooling_type to_pooling(const std::optional<std::string>& name) {
    if (!name) {
        return LLAMA_POOLING_TYPE_UNSPECIFIED;
    }
    return choose<enum llama_pooling_type>(
        {{"mean", LLAMA_POOLING_TYPE_MEAN},
         {"cls", LLAMA_POOLING_TYPE_CLS},
         {"last", LLAMA_POOLING_TYPE_LAST},
         {"rank", LLAMA_POOLING_TYPE_RANK},
         {"none", LLAMA_POOLING_TYPE_NONE}},
        "pooling", *name);
}

enum llama_flash_attn_type to_flash_attn(const std::string& name) {
    return choose<enum llama_flash_attn_type>(
        {{"auto", LLAMA_FLASH_ATTN_TYPE_AUTO},
         {"on", LLAMA_FLASH_ATTN_TYPE_ENABLED},
         {"off", LLAMA_FLASH_ATTN_TYPE_DISABLED}},
        "flash_attn", name);
}

// Loads the weights itself: for tests and tools that do not need an engine.
std::shared_ptr<Retriever> open_retriever(
    const std::string& path,
    int n_threads,
    int n_ctx,
    const std::optional<std::string>& pooling,
    const std::string& flash_attn,
    int n_batch_tokens,
    bool own_kernels) {
    RetrieverOptions options;
    options.own_kernels = own_kernels;
    options.n_threads = n_threads;
    options.n_ctx = n_ctx;
    options.n_batch_tokens = n_batch_tokens;
    options.pooling = to_pooling(pooling);
    options.flash_attn = to_flash_attn(flash_attn);

    GilRelease release;
    llama_backend_init();
    llama_model_params params = llama_model_default_params();
    params.use_extra_bufts = !own_kernels; // our kernels read the weights as they are in the file
    std::shared_ptr<llama_model> model(
        reading_file(path, [&] { return llama_model_load_from_file(path.c_str(), params); }),
        [](llama_model* loaded) {
            if (loaded) {
                llama_model_free(loaded);
            }
        });
    if (!model) {
        throw Error(ErrorKind::model_load, "llama.cpp could not load " + path + "; its log says why");
    }
    return std::make_shared<Retriever>(std::move(model), options);
}

std::shared_ptr<RetrievalJob> embed(
    Retriever& retriever,
    RetrievalKind kind,
    nb::typed<nb::sequence, nb::str> texts,
    const std::string& truncate,
    bool normalize,
    nb::str prefix,
    int dimensions,
    size_t first_index,
    size_t stream) {
    std::vector<std::string> inputs = to_utf8(texts, "text", first_index);
    EmbedOptions options;
    options.truncate = to_truncate(truncate);
    options.normalize = normalize;
    options.prefix = to_utf8(prefix, "the prefix");
    options.dimensions = dimensions;
    options.first_index = first_index;
    options.stream = stream;
    GilRelease release;
    return cancel_when_dropped(
        kind == RetrievalKind::embed ? retriever.embed(std::move(inputs), std::move(options))
                                     : retriever.embed_tokens(std::move(inputs), std::move(options)));
}

RerankOptions to_rerank_options(const std::optional<nb::str>& instruction) {
    RerankOptions options;
    if (instruction) {
        options.instruction = to_utf8(*instruction, "the instruction");
    }
    return options;
}

std::shared_ptr<RetrievalJob> rerank(
    Retriever& retriever,
    nb::str query,
    nb::typed<nb::sequence, nb::str> documents,
    const std::string& truncate,
    const std::optional<nb::str>& instruction,
    bool sentence_types) {
    std::string query_text = to_utf8(query, "the query");
    std::vector<std::string> inputs = to_utf8(documents, "document");
    RerankOptions options = to_rerank_options(instruction);
    options.truncate = to_truncate(truncate);
    options.sentence_types = sentence_types;
    GilRelease release;
    return cancel_when_dropped(retriever.rerank(std::move(query_text), std::move(inputs), options));
}

size_t document_room(Retriever& retriever, nb::str query, const std::optional<nb::str>& instruction) {
    const std::string query_text = to_utf8(query, "the query");
    const RerankOptions options = to_rerank_options(instruction);
    GilRelease release;
    return retriever.document_room(query_text, options);
}

Tokens text_ends(Retriever& retriever, nb::str text, size_t n_first, size_t n_last) {
    const std::string input = to_utf8(text, "the text");
    GilRelease release;
    return retriever.text_ends(input, n_first, n_last);
}

// Rows [first, first + n_rows) of the result.
Array rows_of(const std::shared_ptr<RetrievalJob>& job, size_t first, size_t n_rows) {
    const RetrievalResult& result = job->result();
    auto* keep_alive = new std::shared_ptr<RetrievalJob>(job);
    nb::capsule owner(
        keep_alive, [](void* held) noexcept { delete static_cast<std::shared_ptr<RetrievalJob>*>(held); });
    // The job does not write to the buffer again, and its arrays do not overlap, so numpy may write to them.
    auto* values = const_cast<float*>(result.values.data()) + first * result.n_dims;
    if (job->kind() == RetrievalKind::rerank) {
        return Array(values, {n_rows}, owner);
    }
    return Array(values, {n_rows, result.n_dims}, owner);
}

nb::object result_of(const std::shared_ptr<RetrievalJob>& job) {
    const RetrievalResult& result = job->result();
    if (job->kind() != RetrievalKind::embed_tokens) {
        return nb::cast(rows_of(job, 0, job->n_total()));
    }
    nb::list arrays;
    for (size_t i = 0; i + 1 < result.row_offsets.size(); ++i) {
        const size_t first = result.row_offsets[i];
        arrays.append(nb::cast(rows_of(job, first, result.row_offsets[i + 1] - first)));
    }
    return arrays;
}

void bind_job(nb::module_& module) {
    nb::class_<RetrievalJob> job(
        module, "RetrievalJob", nb::type_slots(waitable_slots<RetrievalJob>),
        "A request to embed or rerank: its progress and its result.");
    def_gil_free_wait(job);
    job.def_prop_ro("n_done", &RetrievalJob::n_done, "Texts or documents that have gone through the model.")
        .def_prop_ro("n_total", &RetrievalJob::n_total, "Texts or documents of the request.")
        .def(
            "result", &result_of,
            "Return the float32 result, without a copy: (n_texts, n_dims) from embed, a list of "
            "(n_tokens, n_dims)\nfrom embed_tokens, (n_documents,) from rerank. Raises the error of a failed "
            "request.");
}

} // namespace

void bind_retrieval(nb::module_& module) {
    bind_job(module);

    nb::class_<Retriever>(
        module, "Retriever", "Embeds and reranks on its own thread. Any number of threads may call it.")
        .def_static(
            "open", &open_retriever, nb::arg("path"), nb::arg("n_threads"), nb::arg("n_ctx") = 0,
            nb::arg("pooling") = nb::none(), nb::arg("flash_attn") = "auto", nb::arg("n_batch_tokens") = 0,
            nb::arg("own_kernels") = true, "Load a model for retrieval only. Blocks without the GIL.")
        .def(
            "embed",
            [](Retriever& self, nb::typed<nb::sequence, nb::str> texts, const std::string& truncate,
               bool normalize, nb::str prefix, int dimensions, size_t first_index, size_t stream) {
                return embed(
                    self, RetrievalKind::embed, texts, truncate, normalize, prefix, dimensions, first_index,
                    stream);
            },
            nb::arg("texts"), nb::kw_only(), nb::arg("truncate") = "error", nb::arg("normalize") = true,
            nb::arg("prefix") = "", nb::arg("dimensions") = 0, nb::arg("first_index") = 0,
            nb::arg("stream") = 0,
            "Start embedding: one vector for each text. Errors count texts from `first_index`. Jobs with the "
            "same `stream` other than 0 run in order and share one turn. Returns at once.")
        .def(
            "embed_tokens",
            [](Retriever& self, nb::typed<nb::sequence, nb::str> texts, const std::string& truncate,
               bool normalize, nb::str prefix, int dimensions) {
                return embed(
                    self, RetrievalKind::embed_tokens, texts, truncate, normalize, prefix, dimensions, 0, 0);
            },
            nb::arg("texts"), nb::kw_only(), nb::arg("truncate") = "error", nb::arg("normalize") = true,
            nb::arg("prefix") = "", nb::arg("dimensions") = 0,
            "Start embedding: one vector for each token, special tokens included. Returns at once.")
        .def(
            "rerank", &rerank, nb::arg("query"), nb::arg("documents"), nb::kw_only(),
            nb::arg("truncate") = "error", nb::arg("instruction") = nb::none(),
            nb::arg("sentence_types") = true,
            "Start scoring documents against a query: raw scores, higher is better. Returns at once.")
        .def("close", &Retriever::close, nb::call_guard<GilRelease>(), "Fail unfinished jobs; idempotent.")
        .def(
            "document_room", &document_room, nb::arg("query"), nb::arg("instruction") = nb::none(),
            "Return the number of tokens that a document may have beside this query.")
        .def(
            "text_ends", &text_ends, nb::arg("text"), nb::arg("n_first"), nb::arg("n_last"),
            "Return the first and last tokens of a text, or all if there are not more, without special "
            "tokens.")
        .def_prop_ro(
            "scores_are_probabilities",
            [](const Retriever& self) { return self.traits().scores_are_probabilities; },
            "Whether rerank() returns probabilities instead of the head's outputs.")
        .def_prop_ro("limit", &Retriever::limit, "Tokens of the longest input, with special tokens.")
        .def_prop_ro(
            "n_batch_tokens", &Retriever::n_batch_tokens,
            "Tokens of a full micro-batch: the option's value, or chosen by speed on the first "
            "micro-batches.")
        .def_prop_ro("n_batches", &Retriever::n_batches, "Number of micro-batches so far.")
        .def_prop_ro(
            "has_own_kernels", &Retriever::has_own_kernels,
            "Whether the model runs on xllama's kernels instead of llama.cpp's graph.");
}

} // namespace xlc
