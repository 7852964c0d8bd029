#include "bindings/bindings.h"

#include "bindings/gil_free_wait.h"
#include "bindings/held_callable.h"
#include "bindings/text.h"
#include "constraints/checker.h"
#include "constraints/llg_tokenizer.h"
#include "engine/engine.h"
#include "generation/session.h"
#include "generation/task_params.h"
#include "overrides/access/slots.h"
#include "support/errors.h"

#include "llama.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <exception>

namespace xlc {

namespace nb = nanobind;

namespace {

// Python's handle of an engine. The engine is freed without the GIL, because its threads may need it. In a
// forked child it is never freed, because its threads do not exist there.
class EngineHandle {
public:
    EngineHandle(const EngineParams& params, const std::optional<nb::callable>& progress) {
        std::exception_ptr interrupt;
        const auto report = [&](float done) {
            GilAcquire gil;
            if (!gil.is_valid()) {
                return false; // the interpreter ends
            }
            try {
                if (PyErr_CheckSignals() != 0) {
                    throw nb::python_error();
                }
                if (progress) {
                    (*progress)(done);
                }
                return true;
            } catch (const std::exception&) {
                interrupt = std::current_exception();
                return false;
            }
        };
        try {
            GilRelease release;
            engine_ = std::make_unique<Engine>(params, report);
        } catch (const Error&) {
            if (interrupt) {
                std::rethrow_exception(interrupt); // from Ctrl+C or the progress callback
            }
            throw;
        }
    }

    ~EngineHandle() {
        if (!engine_->home().is_this()) {
            (void)engine_.release();
            return;
        }
        GilRelease release;
        engine_.reset();
    }

    Engine* operator->() { return &checked(); }
    Engine& checked() {
        engine_->home().check();
        return *engine_;
    }

    void close() {
        if (engine_->home().is_this()) {
            engine_->close();
        }
    }

private:
    std::unique_ptr<Engine> engine_;
};

using PythonCheck = nb::typed<nb::callable, void()>;

void check_interpreter(const GilAcquire& gil) {
    if (!gil.is_valid()) {
        throw Error(ErrorKind::engine_closed, "the interpreter ends");
    }
}

// Called while a thread waits without the GIL: looks for Ctrl+C, and calls Python's function if there is one.
void check_signals_and(const nb::callable* check) {
    GilAcquire gil;
    check_interpreter(gil);
    if (PyErr_CheckSignals() != 0) {
        throw nb::python_error();
    }
    if (check != nullptr) {
        (*check)();
    }
}

void check_signals() {
    check_signals_and(nullptr);
}

// Return what is called while a request's prompt is read. Python's function raises when the request is given
// up.
Poll prompt_poll(const std::optional<nb::callable>& poll) {
    if (!poll) {
        return check_signals;
    }
    return [held = hold(*poll)] { check_signals_and(held.get()); };
}

void bind_sessions(nb::class_<EngineHandle>& cls) {
    using release_gil = nb::call_guard<GilRelease>;
    cls.def(
           "session_settings", [](EngineHandle& self) { return session_settings(*self->generator()); },
           release_gil(), "Return the settings that must be equal when a session is saved and loaded.")
        .def(
            "save_session",
            [](EngineHandle& self, const std::optional<GenerationRequest>& request) {
                auto state = std::const_pointer_cast<SlotState>(
                    save_session(*self->generator(), request, check_signals));
                return state ? std::make_optional(std::move(state)) : std::nullopt;
            },
            nb::arg("request").none(), release_gil(),
            "Return the conversation that begins with the request's prompt, or the one answered last; None "
            "when no idle slot has it.")
        .def(
            "load_session",
            [](EngineHandle& self, const std::shared_ptr<SlotState>& state) {
                load_session(*self->generator(), state, check_signals);
            },
            nb::arg("state"), release_gil(), "Load the state into a slot; waits for an idle one.");
}

void bind_params(nb::module_& m) {
    nb::class_<ScaledFile>(m, "ScaledFile")
        .def(nb::init<std::string, float>(), nb::arg("path"), nb::arg("scale"));

    nb::class_<EngineParams>(m, "EngineParams")
        .def(nb::init<>())
        .def_rw("model_path", &EngineParams::model_path)
        .def_rw("model_name", &EngineParams::model_name)
        .def_rw("n_ctx", &EngineParams::n_ctx)
        .def_rw("n_ctx_total", &EngineParams::n_ctx_total)
        .def_rw("n_ctx_retrieval", &EngineParams::n_ctx_retrieval)
        .def_rw("n_parallel", &EngineParams::n_parallel)
        .def_rw("n_batch", &EngineParams::n_batch)
        .def_rw("n_ubatch", &EngineParams::n_ubatch)
        .def_rw("n_threads", &EngineParams::n_threads)
        .def_rw("n_threads_batch", &EngineParams::n_threads_batch)
        .def_rw("device", &EngineParams::device)
        .def_rw("n_gpu_layers", &EngineParams::n_gpu_layers)
        .def_rw("main_gpu", &EngineParams::main_gpu)
        .def_rw("split_mode", &EngineParams::split_mode)
        .def_rw("tensor_split", &EngineParams::tensor_split)
        .def_rw("flash_attn", &EngineParams::flash_attn)
        .def_rw("encoder", &EngineParams::encoder)
        .def_rw("n_batch_retrieval", &EngineParams::n_batch_retrieval)
        .def_rw("cache_type_k", &EngineParams::cache_type_k)
        .def_rw("cache_type_v", &EngineParams::cache_type_v)
        .def_rw("kv_unified", &EngineParams::kv_unified)
        .def_rw("use_mmap", &EngineParams::use_mmap)
        .def_rw("use_mlock", &EngineParams::use_mlock)
        .def_rw("pooling", &EngineParams::pooling)
        .def_rw("chat_template", &EngineParams::chat_template)
        .def_rw("thinking", &EngineParams::thinking)
        .def_rw("thinking_budget", &EngineParams::thinking_budget)
        .def_rw("thinking_budget_message", &EngineParams::thinking_budget_message)
        .def_rw("reasoning_format", &EngineParams::reasoning_format)
        .def_rw("cache_ram_mib", &EngineParams::cache_ram_mib)
        .def_rw("context_shift", &EngineParams::context_shift)
        .def_rw("mmproj", &EngineParams::mmproj)
        .def_rw("lora", &EngineParams::lora)
        .def_rw("control_vectors", &EngineParams::control_vectors)
        .def_rw("control_vector_first_layer", &EngineParams::control_vector_first_layer)
        .def_rw("control_vector_last_layer", &EngineParams::control_vector_last_layer)
        .def_rw("warmup", &EngineParams::warmup)
        .def_rw("sleep_after", &EngineParams::sleep_after)
        .def_rw("llama_args", &EngineParams::llama_args);

    nb::class_<LoadedModelInfo>(m, "LoadedModelInfo")
        .def_ro("description", &LoadedModelInfo::description)
        .def_ro("n_params", &LoadedModelInfo::n_params)
        .def_ro("size_bytes", &LoadedModelInfo::size_bytes)
        .def_ro("n_ctx_train", &LoadedModelInfo::n_ctx_train)
        .def_ro("n_ctx", &LoadedModelInfo::n_ctx)
        .def_ro("n_ctx_total", &LoadedModelInfo::n_ctx_total)
        .def_ro("n_parallel", &LoadedModelInfo::n_parallel)
        .def_ro("n_embd", &LoadedModelInfo::n_embd)
        .def_ro("n_vocab", &LoadedModelInfo::n_vocab)
        .def_ro("supports_tools", &LoadedModelInfo::supports_tools)
        .def_ro("supports_thinking", &LoadedModelInfo::supports_thinking)
        .def_ro("reads_images", &LoadedModelInfo::reads_images)
        .def_ro("reads_audio", &LoadedModelInfo::reads_audio)
        .def_ro("reads_video", &LoadedModelInfo::reads_video)
        .def_ro("decides", &LoadedModelInfo::decides);
}

} // namespace

void bind_engine(nb::module_& m) {
    bind_params(m);
    using release_gil = nb::call_guard<GilRelease>;
    nb::class_<EngineHandle> cls(
        m, "Engine", "One model and its workers. Every method may be called from any thread.");
    bind_sessions(cls);
    cls.def(
           nb::init<const EngineParams&, const std::optional<nb::callable>&>(), nb::arg("params"),
           nb::arg("progress").none() = nb::none(),
           "Load the model; `progress` is called with 0 … 1. The GIL is released; Ctrl+C stops loading.")
        .def(
            "submit",
            [](EngineHandle& self, const GenerationRequest& request, std::optional<nb::callable> poll) {
                const Poll look = prompt_poll(poll);
                poll.reset();
                GilRelease release;
                return cancel_when_dropped(self->generator()->submit(request, look));
            },
            nb::arg("request"), nb::arg("poll").none() = nb::none(),
            "Queue a request and return it; its events come later. `poll` is called while a long prompt is "
            "read, and raises to give up.")
        .def(
            "render",
            [](EngineHandle& self, const ChatRequest& chat) {
                return std::const_pointer_cast<RenderedChat>(self->generator()->render(chat));
            },
            nb::arg("chat"), release_gil(), "Render a chat with the model's template.")
        .def(
            "prompt_tokens",
            [](EngineHandle& self, const GenerationRequest& request) {
                return self->generator()->prompt_tokens(request, check_signals);
            },
            nb::arg("request"), release_gil(),
            "Return the tokens of a request's prompt; -1 stands for a piece of an image or sound.")
        .def(
            "task_settings",
            [](EngineHandle& self, const GenerationRequest& request) {
                return task_settings(self->generator()->task(request, check_signals)->params);
            },
            nb::arg("request"), release_gil(),
            "Return llama.cpp's settings for a request, as JSON text; nothing is run.")
        .def(
            "decide",
            [](EngineHandle& self, const std::string& request, const PythonCheck& check) {
                const Decision decision =
                    self->generator()->decide(request, [&check] { check_signals_and(&check); });
                return std::make_pair(decision.answers, decision.n_tokens);
            },
            nb::arg("request"), nb::arg("check"), release_gil(),
            "Answer a decision model's questions: JSON of answers by question, and the tokens that were "
            "read. `check` is called while it waits and gives up by raising.")
        .def(
            "count_prompt_tokens",
            [](EngineHandle& self, const GenerationRequest& request) {
                return self->generator()->prompt_tokens(request, check_signals).size();
            },
            nb::arg("request"), release_gil(), "How many tokens a request's prompt has.")
        .def(
            "retriever", [](EngineHandle& self) { return self->retriever(); }, release_gil(),
            "Return the worker for embedding and reranking.")
        .def(
            "metrics", [](EngineHandle& self) { return self->metrics(); }, release_gil(),
            "Return the generation worker's counters.")
        .def(
            "memory", [](EngineHandle& self) { return self->memory(check_signals); }, release_gil(),
            "Return the memory in use on each device; waits for the current step.")
        .def(
            "stay_awake", [](EngineHandle& self) { return self->stay_awake(); }, release_gil(),
            "Restart the time until the engine sleeps. Return False when it sleeps already.")
        .def_prop_ro(
            "asleep",
            [](EngineHandle& self) {
                GilRelease release; // another thread may be loading under the engine's lock
                return self->asleep();
            })
        .def(
            "info", [](EngineHandle& self) { return self->info(); }, release_gil(),
            "Return the model's sizes and abilities.")
        .def(
            "tokenize",
            [](EngineHandle& self, const std::string& text, bool add_special, bool parse_special) {
                return self->tokenize(text, add_special, parse_special, check_signals);
            },
            nb::arg("text"), nb::arg("add_special"), nb::arg("parse_special"), release_gil(),
            "Return the numbers of a text's tokens.")
        .def(
            "count_tokens",
            [](EngineHandle& self, const std::string& text) {
                return self->tokenize(text, false, false, check_signals).size();
            },
            nb::arg("text"), release_gil(), "How many tokens a text has.")
        .def(
            "detokenize",
            [](EngineHandle& self, const std::vector<int32_t>& tokens, bool special) {
                std::string text;
                {
                    GilRelease release;
                    text = self->detokenize(tokens, special);
                }
                return nb::bytes(text.data(), text.size());
            },
            nb::arg("tokens"), nb::arg("special"),
            "Return the bytes of tokens, which may end inside a character.")
        .def(
            "n_compiled_grammars",
            [](EngineHandle& self) {
                const std::shared_ptr<llama_model> model = self->open_model();
                return TokenizerRegistry::for_vocab(llama_model_get_vocab(model.get()))->n_compiled();
            },
            release_gil(), "How many grammars were compiled for this model's tokens; copies are not counted.")
        .def(
            "accepts",
            [](EngineHandle& self, const std::string& kind, const std::string& data,
               const std::string& text) {
                const std::shared_ptr<llama_model> model = self->open_model();
                return accepts(llama_model_get_vocab(model.get()), kind, data, text);
            },
            nb::arg("kind"), nb::arg("data"), nb::arg("text"), release_gil(),
            "Return whether the whole text satisfies the constraint, in this model's tokens.")
        .def(
            "explain",
            [](EngineHandle& self, const std::string& kind, const std::string& data,
               const std::string& text) {
                const std::shared_ptr<llama_model> model = self->open_model();
                return explain(llama_model_get_vocab(model.get()), kind, data, text);
            },
            nb::arg("kind"), nb::arg("data"), nb::arg("text"), release_gil(),
            "Return how far the text satisfies the constraint, and which of this model's tokens may follow.")
        .def(
            "control_token",
            [](EngineHandle& self, const std::string& text) {
                const std::shared_ptr<llama_model> model = self->open_model();
                return control_token(llama_model_get_vocab(model.get()), text);
            },
            nb::arg("text"), release_gil(), "Return the number of the control token with this text, or -1.")
        .def(
            "cut_at_control_tokens",
            [](EngineHandle& self, const std::string& text) {
                const std::shared_ptr<llama_model> model = self->open_model();
                return cut_at_control_tokens(llama_model_get_vocab(model.get()), text);
            },
            nb::arg("text"), release_gil(),
            "Return a text in pieces: control tokens with their numbers, and the text between them with -1.")
        .def("close", &EngineHandle::close, release_gil(), "End all requests and free the model. Idempotent.")
        .def_prop_ro("closed", [](EngineHandle& self) {
            GilRelease release; // another thread may be loading under the engine's lock
            return self->closed();
        });
}

} // namespace xlc
