// The functions of overrides/access/slots.h. This is part of overrides/server/server-context.cpp, because it
// uses classes that only server-context.cpp defines. Explicit instantiations give access to private members.
#pragma once

#include "overrides/access/slots.h"
#include "overrides/server/pool.h"
#include "overrides/server/step_scope.h"
#include "overrides/server/task_running.h"
#include "support/abort_guard.h"
#include "support/errors.h"

#include <cstring>

namespace xlc {

namespace {

constexpr const char* job_action = "xllama-job";

class StateWriter {
public:
    explicit StateWriter(std::vector<uint8_t>& bytes) : bytes_(bytes) {}

    void number(int64_t value) { std::memcpy(reserve(sizeof(value)), &value, sizeof(value)); }
    template<typename Bytes> void block(const Bytes& block) {
        number(static_cast<int64_t>(block.size()));
        if (!block.empty()) {
            std::memcpy(reserve(block.size()), block.data(), block.size());
        }
    }
    void sequence(llama_context* context, llama_seq_id sequence) {
        const size_t size =
            context ? llama_state_seq_get_size_ext(context, sequence, LLAMA_STATE_SEQ_FLAGS_NONE) : 0;
        number(static_cast<int64_t>(size));
        if (size > 0 && llama_state_seq_get_data_ext(
                            context, reserve(size), size, sequence, LLAMA_STATE_SEQ_FLAGS_NONE) != size) {
            throw Error(ErrorKind::engine_failed, "llama.cpp could not write the state of a slot");
        }
    }

private:
    uint8_t* reserve(size_t size) {
        bytes_.resize(bytes_.size() + size);
        return bytes_.data() + (bytes_.size() - size);
    }

    std::vector<uint8_t>& bytes_;
};

class StateReader {
public:
    explicit StateReader(const std::vector<uint8_t>& bytes) : bytes_(bytes) {}

    int64_t number() {
        int64_t value = 0;
        std::memcpy(&value, take(sizeof(value)), sizeof(value));
        return value;
    }
    template<typename Bytes> Bytes block() {
        const auto [data, size] = view();
        return Bytes(data, data + size);
    }
    std::pair<const uint8_t*, size_t> view() {
        const auto size = static_cast<size_t>(number());
        return {take(size), size};
    }

private:
    const uint8_t* take(size_t size) {
        if (size > bytes_.size() - at_) {
            throw Error(ErrorKind::invalid_request, "the session ends too early");
        }
        at_ += size;
        return bytes_.data() + (at_ - size);
    }

    const std::vector<uint8_t>& bytes_;
    size_t at_ = 0;
};

// Describes a draft model, so that its state is only loaded into the same draft model.
std::string description_of(const llama_context* context) {
    if (!context) {
        return "";
    }
    char text[256] = "";
    const llama_model* model = llama_get_model(context);
    llama_model_desc(model, text, sizeof(text));
    return text + std::string(" ") + std::to_string(llama_model_n_params(model));
}

void write_checkpoints(StateWriter& writer, const server_prompt& prompt) {
    writer.number(static_cast<int64_t>(prompt.checkpoints.size()));
    for (const common_prompt_checkpoint& checkpoint : prompt.checkpoints) {
        writer.number(checkpoint.n_tokens);
        writer.number(checkpoint.pos_min);
        writer.number(checkpoint.pos_max);
        writer.block(checkpoint.data_tgt);
        writer.block(checkpoint.data_dft);
        writer.block(checkpoint.data_spec);
    }
}

std::list<common_prompt_checkpoint> read_checkpoints(StateReader& reader, bool same_draft) {
    std::list<common_prompt_checkpoint> checkpoints;
    for (int64_t n = reader.number(); n > 0; n--) {
        common_prompt_checkpoint& checkpoint = checkpoints.emplace_back();
        checkpoint.n_tokens = reader.number();
        checkpoint.pos_min = static_cast<llama_pos>(reader.number());
        checkpoint.pos_max = static_cast<llama_pos>(reader.number());
        checkpoint.data_tgt = reader.block<std::vector<uint8_t>>();
        checkpoint.data_dft = reader.block<std::vector<uint8_t>>();
        checkpoint.data_spec = reader.block<std::vector<uint8_t>>();
        if (!same_draft) {
            checkpoint.data_dft.clear();
            checkpoint.data_spec.clear();
        }
    }
    return checkpoints;
}

bool holds(const server_slot& slot, const server_task& task) {
    if (slot.prompt.tokens.get_common_prefix(task.tokens) < task.tokens.size()) {
        return false;
    }
    for (size_t i = 0; i < slot.lora.size(); i++) {
        const auto wanted = task.params.lora.find(static_cast<int>(i));
        if (wanted != task.params.lora.end() && wanted->second != slot.lora[i].scale) {
            return false;
        }
    }
    return true;
}

server_slot* slot_to_capture(std::vector<server_slot>& slots, const server_task* task) {
    server_slot* best = nullptr;
    for (server_slot& slot : slots) {
        const bool fits = !slot.prompt.tokens.empty() && (!task || holds(slot, *task));
        if (!slot.is_processing() && fits && (!best || slot.t_last_used > best->t_last_used)) {
            best = &slot;
        }
    }
    return best;
}

server_slot* slot_to_give(std::vector<server_slot>& slots) {
    server_slot* best = nullptr;
    for (server_slot& slot : slots) {
        const auto worth = [](const server_slot& held) {
            return std::make_pair(!held.prompt.tokens.empty(), held.t_last_used);
        };
        if (!slot.is_processing() && (!best || worth(slot) < worth(*best))) {
            best = &slot;
        }
    }
    return best;
}

} // namespace

std::shared_ptr<const SlotState> capture_slot(server_context& context, const server_task* task) {
    server_context_impl& server = *context.impl;
    const server_slot* slot = slot_to_capture(server.*open(slots_tag()), task);
    if (!slot) {
        return nullptr;
    }
    auto state = std::make_shared<SlotState>();
    state->n_tokens = slot->prompt.n_tokens();
    StateWriter writer(state->bytes);
    try {
        writer.block(slot->prompt.tokens.serialize());
    } catch (const std::exception& error) {
        throw Error(ErrorKind::unsupported_feature, std::string("this cannot be saved: ") + error.what());
    }
    writer.number(static_cast<int64_t>(slot->lora.size()));
    for (const common_adapter_lora_info& adapter : slot->lora) {
        writer.block(std::to_string(adapter.scale));
    }
    writer.sequence(slot->ctx_tgt, slot->id);
    writer.block(description_of(slot->ctx_dft));
    writer.sequence(slot->ctx_dft, slot->id);
    write_checkpoints(writer, slot->prompt);
    return state;
}

bool restore_slot(server_context& context, const SlotState& state) {
    server_context_impl& server = *context.impl;
    server_slot* slot = slot_to_give(server.*open(slots_tag()));
    if (!slot) {
        return false;
    }
    StateReader reader(state.bytes);
    const auto packed = reader.block<std::vector<char>>();
    llama_tokens numbers(packed.size() / sizeof(llama_token));
    std::memcpy(numbers.data(), packed.data(), numbers.size() * sizeof(llama_token));
    server_tokens tokens;
    try {
        tokens = server_tokens::deserialize(numbers, server.mctx != nullptr);
    } catch (const std::exception& error) {
        throw Error(
            ErrorKind::invalid_request,
            std::string("the session holds tokens that this engine cannot read: ") + error.what());
    }
    if (tokens.size() > static_cast<size_t>(slot->n_ctx)) {
        throw Error(
            ErrorKind::invalid_request, "the session holds " + std::to_string(tokens.size()) +
                                            " tokens, but a slot of this engine holds " +
                                            std::to_string(slot->n_ctx) + "; open it with a larger n_ctx");
    }
    if (!tokens.validate(slot->ctx_tgt)) {
        throw Error(
            ErrorKind::invalid_request,
            "the session holds tokens that this model's vocabulary does not have");
    }
    std::vector<common_adapter_lora_info> adapters = (server.*open(params_base_tag())).lora_adapters;
    const auto n_adapters = static_cast<size_t>(reader.number());
    for (size_t i = 0; i < n_adapters; i++) {
        const float scale = std::strtof(reader.block<std::string>().c_str(), nullptr);
        if (i < adapters.size()) {
            adapters[i].scale = scale;
        }
    }
    const auto [data, size] = reader.view();
    const bool same_draft = reader.block<std::string>() == description_of(slot->ctx_dft);
    const auto [draft_data, draft_size] = reader.view();
    std::list<common_prompt_checkpoint> checkpoints = read_checkpoints(reader, same_draft);

    if (const auto& cache = server.*open(prompt_cache_tag())) {
        slot->prompt_save(*cache);
        cache->update();
    }
    slot->prompt_clear();
    const auto set = [&](llama_context* target, const uint8_t* bytes, size_t n_bytes) {
        return llama_state_seq_set_data_ext(target, bytes, n_bytes, slot->id, LLAMA_STATE_SEQ_FLAGS_NONE) ==
               n_bytes;
    };
    if (!set(slot->ctx_tgt, data, size) ||
        (slot->ctx_dft && same_draft && !set(slot->ctx_dft, draft_data, draft_size))) {
        slot->prompt_clear();
        throw Error(
            ErrorKind::invalid_request, "llama.cpp refused the session: it needs the settings of the engine "
                                        "that saved it, and room in the KV cache; its log says more");
    }
    slot->prompt.tokens = std::move(tokens);
    slot->prompt.checkpoints = std::move(checkpoints);
    slot->lora = std::move(adapters);
    slot->t_last_used = ggml_time_us();
    return true;
}

std::vector<llama_context*> contexts_of(const server_context& context) {
    const server_context_impl& server = *context.impl;
    return {server.*open(ctx_tgt_tag()), server.*open(ctx_dft_tag())};
}

size_t prompt_cache_bytes(const server_context& context) {
    const auto& cache = (*context.impl).*open(prompt_cache_tag());
    return cache ? cache->size() : 0;
}

void set_output_limits(common_params& params) {
    const auto limits = server_output_limits(params);
    params.n_outputs_max = limits.total;
    params.n_outputs_max_per_seq = limits.per_seq;
}

LoopJobs::LoopJobs(server_context& context, std::function<void(const std::string&)> failed)
    : context_(context), jobs_(std::make_shared<Jobs>()), pool_counters_(std::make_shared<PoolCounters>()) {
    server_context_impl& server = *context.impl;
    jobs_->steps = std::make_shared<Steps>();
    const auto pool = std::make_shared<Pool>(server, pool_counters_);
    // After a failed assertion the server would go on with a context whose state nobody knows.
    server.queue_tasks.on_update_slots([&server, pool, jobs = jobs_, failed = std::move(failed)] {
        const AssertionWatch watch(failed);
        pool->plan();
        const StepScope scope(*jobs->steps, server.*open(slots_tag()));
        (server.*open(update_slots_tag()))();
        if (watch.failed()) {
            throw AssertionFailed(watch.message());
        }
    });
    server.queue_tasks.on_new_task([pool, &server, jobs = jobs_](server_task&& task, bool is_yielding) {
        if (is_yielding) {
            notice(jobs->steps->watch, task);
        }
        if (task.type != SERVER_TASK_TYPE_CONTROL || task.params.control_action != job_action) {
            return pool->take(std::move(task), is_yielding);
        }
        if (is_yielding) {
            return false; // it is called again after the step
        }
        pool->forget_ended();
        std::shared_ptr<Job> job;
        {
            std::lock_guard<std::mutex> lock(jobs->mutex);
            const auto found = jobs->waiting.find(task.id);
            if (found == jobs->waiting.end()) {
                return true;
            }
            job = found->second;
        }
        try {
            if (!job->work()) {
                job->deferred = true;
                server.queue_tasks.defer(std::move(task));
                return true;
            }
            job->done.set_value();
        } catch (...) {
            job->done.set_exception(std::current_exception());
        }
        {
            std::lock_guard<std::mutex> lock(jobs->mutex);
            jobs->waiting.erase(task.id);
        }
        if (job->deferred) {
            server.queue_tasks.pop_deferred_task(-1); // the job has used the turn of a request
        }
        return true;
    });
}

std::future<void> LoopJobs::post(Work work) {
    auto job = std::make_shared<Job>();
    job->work = std::move(work);
    std::future<void> done = job->done.get_future();
    server_queue& queue = context_.impl->queue_tasks;
    server_task task(SERVER_TASK_TYPE_CONTROL);
    task.id = queue.get_new_id();
    task.params.control_action = job_action;
    std::lock_guard<std::mutex> lock(jobs_->mutex);
    if (!jobs_->closed) {
        jobs_->waiting[task.id] = std::move(job);
        queue.post(std::move(task));
    }
    return done;
}

void LoopJobs::end_steps() {
    jobs_->steps->watch.give_up_all();
}

void LoopJobs::close() {
    std::lock_guard<std::mutex> lock(jobs_->mutex);
    jobs_->closed = true;
    jobs_->waiting.clear();
}

} // namespace xlc
