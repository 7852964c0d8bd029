#include "generation/generator.h"

#include "constraints/checker.h"
#include "constraints/llg_tokenizer.h"
#include "generation/chat_rendering.h"
#include "generation/control_names.h"
#include "generation/dispatcher.h"
#include "generation/load_checks.h"
#include "generation/media_prompt.h"
#include "generation/metrics.h"
#include "generation/prompt_reader.h"
#include "generation/task_params.h"
#include "generation/tool_template.h"
#include "overrides/access/drafting.h"
#include "overrides/access/slots.h"
#include "support/compute_threads.h"
#include "support/logging.h"
#include "support/thread.h"

#include "server-context.h"
#include "speculative.h"

#include <algorithm>
#include <atomic>
#include <chrono>

namespace xlc {

namespace {

// Thrown when the caller stops loading. llama.cpp's loader catches it.
struct LoadCancelled : std::runtime_error {
    LoadCancelled() : std::runtime_error("loading was cancelled") {}
};

} // namespace

struct Generator::Impl {
    EngineParams params;
    common_params base;
    // Shared by the model's context and its draft model's context, which are freed earlier.
    std::optional<ComputeThreads> shared_threads;
    server_context context;
    std::optional<server_context_meta> meta;
    common_chat_templates_ptr tool_templates; // if the model's own template does not support tools
    std::shared_ptr<Dispatcher> dispatcher;
    std::unique_ptr<LoopJobs> jobs;
    Thread loop;
    bool closed = false;
    std::mutex close_mutex;
    std::optional<ControlNames> control_names;
    std::optional<PromptReader> prompts; // last, because its threads use the members above

    ~Impl() {
        stop_loop(); // if the constructor has failed
        if (meta) {
            TokenizerRegistry::forget(vocab()); // before another model can get this address
        }
    }

    void load(const Progress& progress);
    void share_threads();
    void start_loop();
    void stop_loop();
    void fail(const std::string& reason);
    ChatDefaults chat_defaults() const;
    PreparedTask prepare(const GenerationRequest& request, const Poll& poll);
    void check_embedding() const;
    const llama_vocab* vocab() const {
        return llama_model_get_vocab(llama_get_model(context.get_llama_context()));
    }
};

void Generator::Impl::load(const Progress& progress) {
    bool cancelled = false;
    context.set_state_callback([&](server_state state, json payload) {
        if (state == SERVER_STATE_LOADING && payload.contains("value") && progress &&
            !progress(payload.at("value").get<float>())) {
            cancelled = true;
            throw LoadCancelled();
        }
    });
    LogCapture capture;
    last_speculation() = {}; // of another engine that this thread has loaded
    bool loaded = false;
    std::string reason;
    std::optional<Error> refused;
    try {
        loaded = context.load_model(base);
    } catch (const Error& error) {
        refused = error;
    } catch (const std::exception& error) {
        reason = error.what();
    }
    context.set_state_callback([](server_state, const json&) {});
    if (cancelled) {
        throw Error(ErrorKind::request_cancelled, "loading '" + params.model_name + "' was cancelled");
    }
    if (refused) {
        throw *refused;
    }
    if (!loaded) {
        throw_load_error(params, reason.empty() ? capture.summary() : reason, /* generates */ true);
    }
    check_speculation(base.speculative);
    if (params.context_shift && !base.ctx_shift) {
        throw Error(
            ErrorKind::unsupported_feature, "'" + params.model_name +
                                                "' cannot shift its context, as its tokens cannot be moved "
                                                "there; leave on_overflow at \"error\"");
    }
    meta.emplace(context.get_meta());
    control_names.emplace(vocab());
    prompts.emplace(context, base, vocab(), meta->slot_n_ctx);
    share_threads();
    const common_chat_templates* own = meta->chat_params.tmpls.get();
    check_template(params, own);
    if (base.use_jinja) {
        tool_templates = generic_tool_templates(llama_get_model(context.get_llama_context()), own);
    }
}

// llama.cpp only attaches threads to the model's context.
void Generator::Impl::share_threads() {
    const std::vector<llama_context*> contexts = contexts_of(context);
    if (std::count(contexts.begin(), contexts.end(), nullptr) > 0) {
        return;
    }
    shared_threads.emplace(llama_n_threads(contexts[0]), llama_n_threads_batch(contexts[0]));
    for (llama_context* one : contexts) {
        shared_threads->attach(one);
    }
}

// A terminate() before the loop runs would be lost, so this waits for the loop's first answer.
void Generator::Impl::start_loop() {
    server_response_reader reader = context.get_response_reader();
    dispatcher = std::make_shared<Dispatcher>(reader.queue_tasks, reader.queue_results, base.n_parallel);
    jobs = std::make_unique<LoopJobs>(context, [this](const std::string& assertion) { fail(assertion); });
    dispatcher->start();
    loop = Thread([this] {
        try {
            context.start_loop();
        } catch (const std::exception& error) {
            fail(error.what());
            jobs->close();
        }
    });
    server_task hello(SERVER_TASK_TYPE_METRICS);
    hello.id = reader.get_new_id();
    reader.post_task(std::move(hello));
    if (!reader.next([this] { return dispatcher->failed(); })) {
        dispatcher->check_running();
    }
}

void Generator::Impl::stop_loop() {
    if (loop.joinable()) {
        jobs->end_steps();
        context.terminate();
        loop.join();
        jobs->close();
    }
}

void Generator::Impl::fail(const std::string& reason) {
    dispatcher->fail(Error(
        ErrorKind::engine_failed, "llama.cpp failed in a step of this request: " + reason +
                                      "; the engine loads the model again for the next request"));
}

ChatDefaults Generator::Impl::chat_defaults() const {
    const server_chat_params& chat = meta->chat_params;
    return {chat.tmpls.get(),         tool_templates ? tool_templates.get() : chat.tmpls.get(),
            chat.use_jinja,           chat.enable_thinking,
            chat.prefill_assistant,   chat.reasoning_format,
            chat.chat_template_kwargs};
}

// llama.cpp computes the pieces of a prompt with images separately, so only the last token has seen all of
// it.
void Generator::Impl::check_embedding() const {
    if (meta->pooling_type != LLAMA_POOLING_TYPE_LAST) {
        throw Error(
            ErrorKind::unsupported_feature,
            "'" + params.model_name +
                "' does not embed messages: llama.cpp can do that for models that use "
                "the last token's vector (pooling=\"last\"), such as Qwen3-VL-Embedding; use embed for "
                "texts");
    }
}

PreparedTask Generator::Impl::prepare(const GenerationRequest& request, const Poll& poll) {
    prompts->check_length(request);
    if (request.embed) {
        check_embedding();
    }
    const int32_t n_answers = request.sampling.n.value_or(1);
    if (n_answers > base.n_parallel) {
        throw Error(
            ErrorKind::invalid_request,
            "n=" + std::to_string(n_answers) +
                " answers need as many slots, the engine has n_parallel=" + std::to_string(base.n_parallel) +
                "; ask for fewer, or open the engine with a larger n_parallel");
    }
    const RenderedChat* chat = request.chat.get();
    compile_constraint(vocab(), request.grammar);
    PreparedTask prepared;
    prepared.task = server_task(SERVER_TASK_TYPE_COMPLETION);
    prepared.task.params = to_task_params(request, base, vocab(), meta->slot_n_ctx);
    // The parser reads the whole answer again with every token, so it is used only if it may find something.
    if (chat != nullptr && !chat->params.parser.empty() &&
        (chat->params.supports_thinking || may_call(chat->chat))) {
        const bool continues = chat->chat.messages.back().role == "assistant";
        prepared.format = answer_format(chat->params, continues, vocab());
    }

    server_tokens tokens = prompts->read(request, poll);
    if (tokens.empty()) {
        throw Error(ErrorKind::invalid_request, "the prompt has no tokens; add some text");
    }
    const auto n_tokens = static_cast<int32_t>(tokens.size());
    if (n_tokens >= meta->slot_n_ctx) {
        throw Error::context_overflow(
            "the prompt has " + std::to_string(n_tokens) + " tokens and the context holds " +
                std::to_string(meta->slot_n_ctx) +
                ", with the answer; shorten the prompt or open the engine with a larger n_ctx",
            n_tokens, meta->slot_n_ctx);
    }
    if (request.close_grammar && !prepared.task.params.sampling.grammar.empty()) {
        const int32_t n_room = base.ctx_shift ? no_limit : meta->slot_n_ctx - n_tokens - 1;
        prepared.closing = closing_params(prepared.task.params, n_room, request);
    }
    prepared.task.tokens = std::move(tokens);
    if (request.embed) {
        prepared.task.type = SERVER_TASK_TYPE_EMBEDDING;
        prepared.task.params.embd_normalize = -1;
    } else if (chat != nullptr) {
        common_chat_msg_delimiters delimiters = chat->params.message_delimiters;
        delimiters.tokenize(vocab());
        prepared.task.params.message_spans = prepared.task.tokens.find_message_spans(delimiters);
    }
    return prepared;
}

Generator::Generator(const EngineParams& params, const Progress& progress) : impl_(new Impl) {
    impl_->params = params;
    impl_->base = to_common_params(params);
    impl_->load(progress);
    impl_->start_loop();
}

Generator::~Generator() {
    close();
}

std::shared_ptr<Generation> Generator::submit(const GenerationRequest& request, const Poll& poll) {
    return impl_->dispatcher->submit(impl_->prepare(request, [&] {
        impl_->dispatcher->check_running();
        poll();
    }));
}

std::shared_ptr<const RenderedChat> Generator::render(ChatRequest chat) const {
    const ChatDefaults defaults = impl_->chat_defaults();
    auto out = std::make_shared<RenderedChat>();
    const MarkedChat marked = chat.parse_special ? MarkedChat() : impl_->control_names->mark(chat);
    if (marked.mark.empty()) {
        out->params = render_chat(chat, defaults);
    } else {
        out->params = render_marked(marked, defaults);
        out->mark = marked.mark;
    }
    out->parallel_calls = allows_parallel_calls(chat, defaults);
    out->thinks =
        out->params.supports_thinking && (wants_thinking(chat, defaults) || opens_thinking(out->params));
    if (out->thinks) {
        out->thinking_start_tag = thinking_start(out->params);
        out->thinking_end_tags = out->params.thinking_end_tags;
    }
    out->chat = std::move(chat);
    return out;
}

std::vector<int32_t> Generator::prompt_tokens(const GenerationRequest& request, const Poll& poll) const {
    const server_tokens tokens = impl_->prompts->read(request, poll, /* count_only */ true);
    std::vector<int32_t> out;
    out.reserve(tokens.size());
    for (size_t i = 0; i < tokens.size(); i++) {
        out.push_back(tokens[i]);
    }
    return out;
}

size_t Generator::paused_bytes() const {
    return impl_->jobs->pool().n_paused_bytes;
}

GeneratorMetrics Generator::metrics() const {
    server_response_reader reader = impl_->context.get_response_reader();
    server_task task(SERVER_TASK_TYPE_METRICS);
    task.id = reader.get_new_id();
    reader.post_task(std::move(task));
    const server_task_result_ptr result = reader.next([this] { return impl_->dispatcher->failed(); });
    if (!result) {
        throw Error(ErrorKind::engine_closed, "the engine was closed while it was asked for its metrics");
    }
    GeneratorMetrics metrics = read_metrics(*result, impl_->jobs->pool());
    metrics.n_waiting = impl_->dispatcher->n_waiting(metrics.n_running);
    return metrics;
}

Decision Generator::decide(const std::string& request, const Poll& poll) const {
    return xlc::decide(impl_->context, impl_->base, *impl_->prompts, *impl_->control_names, request, [&] {
        impl_->dispatcher->check_running();
        poll();
    });
}

bool Generator::idle() const {
    return impl_->dispatcher->idle();
}

bool Generator::failed() const {
    return impl_->dispatcher->failed();
}

void Generator::close() {
    std::lock_guard<std::mutex> lock(impl_->close_mutex);
    if (impl_->closed) {
        return;
    }
    impl_->closed = true;
    if (impl_->dispatcher) {
        impl_->dispatcher->fail(Error(ErrorKind::engine_closed, "the engine was closed during this request"));
    }
    impl_->stop_loop();
    if (impl_->dispatcher) {
        impl_->dispatcher->stop();
    }
    if (impl_->prompts) {
        impl_->prompts->finish();
    }
}

std::shared_ptr<const server_task> Generator::task(const GenerationRequest& request, const Poll& poll) const {
    return std::make_shared<const server_task>(std::move(impl_->prepare(request, poll).task));
}

void Generator::on_loop(Work work, const Poll& poll) const {
    const auto given_up = std::make_shared<std::atomic<bool>>(false);
    std::future<void> done =
        impl_->jobs->post([work = std::move(work), given_up, this_context = &impl_->context] {
            return *given_up || work(*this_context);
        });
    try {
        wait_polling(done, poll);
    } catch (...) {
        *given_up = true;
        throw;
    }
    try {
        done.get();
    } catch (const std::future_error&) {
        throw Error(ErrorKind::engine_closed, "the engine was closed during this request");
    }
}

const common_params& Generator::params() const {
    return impl_->base;
}

llama_model* Generator::model() const {
    return const_cast<llama_model*>(llama_get_model(impl_->context.get_llama_context()));
}

int32_t Generator::n_ctx_per_request() const {
    return impl_->meta->slot_n_ctx;
}

int32_t Generator::n_ctx_total() const {
    return static_cast<int32_t>(llama_n_ctx(impl_->context.get_llama_context()));
}

bool Generator::supports_tools() const {
    const auto& caps = impl_->meta->chat_template_caps;
    const auto found = caps.find("supports_tools");
    return found != caps.end() && found->second;
}

bool Generator::reads_media(const std::string& kind) const {
    return xlc::reads_media(media_access(impl_->context), kind);
}

bool Generator::supports_thinking() const {
    return common_chat_templates_support_enable_thinking(impl_->meta->chat_params.tmpls.get());
}

} // namespace xlc
