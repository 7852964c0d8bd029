#include "generation/dispatcher.h"

#include "overrides/access/thinking.h"
#include "support/logging.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

namespace xlc {

namespace {

// Return the exception that is being handled as an error for its request.
Error current_error() {
    try {
        throw;
    } catch (const Error& error) {
        return error;
    } catch (const std::bad_alloc&) {
        return Error(ErrorKind::insufficient_memory, "the request's memory could not be allocated");
    } catch (const std::exception& error) {
        return Error(ErrorKind::engine_failed, error.what());
    }
}

// An empty result that wakes the thread waiting for results.
struct ControlResult : server_task_result {
    json to_json() override { return {}; }
};

} // namespace

Dispatcher::Dispatcher(server_queue& tasks, server_response& results, int32_t n_slots)
    : tasks_(tasks), results_(results), n_slots_(n_slots), control_id_(tasks.get_new_id()) {
    results_.add_waiting_task_id(control_id_);
}

Dispatcher::~Dispatcher() {
    stop();
}

void Dispatcher::start() {
    thread_ = Thread([this] { run(); });
}

std::shared_ptr<Generation> Dispatcher::submit(PreparedTask prepared) {
    auto generation = std::make_shared<Generation>(weak_from_this());
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (failure_) {
            throw *failure_;
        }
        waiting_.push_back({generation, std::move(prepared)});
    }
    admit();
    return generation;
}

// llama.cpp's queue gets one task more per slot than there are slots, so that a freed slot is used in the
// next step. Further requests wait here, where their order is kept and cancelling is cheap. A request for
// several answers needs all its slots at once. llama.cpp would let later requests overtake it, so it waits
// for its slots here.
std::vector<Dispatcher::Failure> Dispatcher::post_waiting() {
    std::vector<Failure> failures;
    while (!waiting_.empty()) {
        const auto n = static_cast<size_t>(waiting_.front().prepared.task.params.n_cmpl);
        const size_t limit = n == 1 ? 2 * static_cast<size_t>(n_slots_) : static_cast<size_t>(n_slots_);
        if (running_.size() + n > limit) {
            break;
        }
        Request request = std::move(waiting_.front());
        waiting_.pop_front();
        try {
            post(request);
        } catch (const std::exception&) {
            forget(*request.generation);
            failures.push_back({request.generation, current_error()});
        }
    }
    return failures;
}

void Dispatcher::admit() {
    std::vector<Failure> failures;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        failures = post_waiting();
        wake();
    }
    for (const Failure& failure : failures) {
        failure.generation->fail(failure.error);
    }
}

// Drop a request of which llama.cpp does not know yet.
void Dispatcher::forget(const Generation& generation) {
    for (auto entry = running_.begin(); entry != running_.end();) {
        if (entry->second.generation.get() == &generation) {
            results_.remove_waiting_task_id(entry->first);
            entry = running_.erase(entry);
        } else {
            ++entry;
        }
    }
    running_changed_ = true;
}

void Dispatcher::post(Request& request) {
    server_task& task = request.prepared.task;
    const int n = task.params.n_cmpl;
    task.id = tasks_.get_new_id();
    for (int i = 1; i < n; i++) {
        task.add_child(task.id, tasks_.get_new_id());
    }
    for (int32_t i = 0; i < n; i++) {
        server_task& answer = i == 0 ? task : task.child_tasks[static_cast<size_t>(i) - 1];
        std::shared_ptr<Closing> closing;
        if (request.prepared.closing) {
            closing = std::make_shared<Closing>(*request.prepared.closing);
            mark_closing(answer.params.sampling.grammar.grammar, closing);
        }
        auto thinking = std::make_shared<Thinking>(request.generation->thinking_switch());
        mark_switch(answer.params.sampling, thinking);
        running_[answer.id] = {
            request.generation,
            std::make_shared<ChoiceStream>(
                i, request.prepared.format, answer.params, std::move(closing), std::move(thinking))};
        results_.add_waiting_task_id(answer.id);
    }
    running_changed_ = true;
    std::vector<server_task> tasks;
    tasks.push_back(std::move(task));
    tasks_.post(std::move(tasks));
}

// An exception ends the request whose result it was, and never this thread, which serves all of them.
void Dispatcher::run() {
    std::unordered_set<int> ids;
    while (true) {
        server_task_result_ptr result;
        try {
            result = receive(ids);
            if (!result) {
                return;
            }
            if (result->id != control_id_) {
                deliver(*result);
            }
        } catch (const std::exception&) {
            if (result) {
                fail_task(result->id, current_error());
            } else {
                std::this_thread::sleep_for(std::chrono::milliseconds(10)); // no memory, maybe there is later
            }
        }
    }
}

// Return the next result, or nullptr after stop().
server_task_result_ptr Dispatcher::receive(std::unordered_set<int>& ids) {
    while (true) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            if (stopping_) {
                return nullptr;
            }
            if (running_changed_) {
                ids = {control_id_};
                for (const auto& [id, running] : running_) {
                    ids.insert(id);
                }
                running_changed_ = false;
            }
        }
        constexpr int timeout_s = 3600; // any long time; there is no call without a timeout
        if (server_task_result_ptr result = results_.recv_with_timeout(ids, timeout_s)) {
            return result;
        }
    }
}

void Dispatcher::deliver(server_task_result& result) {
    Running running;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found = running_.find(result.id);
        if (found == running_.end()) {
            return; // it was cancelled in the meantime
        }
        running = found->second;
    }
    if (result.is_error()) {
        fail_request(running.generation, to_error(dynamic_cast<server_task_result_error&>(result)));
        return;
    }
    bool ended = false;
    running.generation->add(running.stream->translate(result, ended));
    if (!ended) {
        return;
    }
    bool all_ended;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        results_.remove_waiting_task_id(result.id);
        running_.erase(result.id);
        running_changed_ = true;
        all_ended = running_ids(*running.generation).empty();
    }
    if (all_ended) {
        running.generation->finish();
    }
    admit();
}

void Dispatcher::fail_task(int id, const Error& error) {
    std::shared_ptr<Generation> generation;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found = running_.find(id);
        if (found != running_.end()) {
            generation = found->second.generation;
        }
    }
    if (generation) {
        fail_request(generation, error);
    }
}

void Dispatcher::fail_request(const std::shared_ptr<Generation>& generation, const Error& error) {
    try {
        std::lock_guard<std::mutex> lock(mutex_);
        drop_tasks(running_ids(*generation));
    } catch (const std::exception& failure) {
        log_warning(std::string("the slot of a failed request was not freed: ") + failure.what());
    }
    generation->fail(error);
    admit();
}

void Dispatcher::cancel(Generation& generation) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto queued = std::find_if(waiting_.begin(), waiting_.end(), [&](const Request& request) {
            return request.generation.get() == &generation;
        });
        if (queued != waiting_.end()) {
            waiting_.erase(queued);
        } else {
            drop_tasks(running_ids(generation));
        }
    }
    generation.finish();
    admit();
}

// The server frees a cancelled task's slot before it reads tasks that are posted later.
void Dispatcher::drop_tasks(const std::vector<int>& ids) {
    std::vector<server_task> cancels;
    for (const int id : ids) {
        results_.remove_waiting_task_id(id);
        running_.erase(id);
        server_task cancel_task(SERVER_TASK_TYPE_CANCEL);
        cancel_task.id_target = id;
        cancels.push_back(std::move(cancel_task));
    }
    if (!cancels.empty()) {
        running_changed_ = true;
        tasks_.post(std::move(cancels), true);
    }
}

std::vector<int> Dispatcher::running_ids(const Generation& generation) const {
    std::vector<int> ids;
    for (const auto& [id, running] : running_) {
        if (running.generation.get() == &generation) {
            ids.push_back(id);
        }
    }
    return ids;
}

// After stop() the queues may be freed, but a caller may still cancel a generation.
void Dispatcher::wake() {
    if (stopping_) {
        return;
    }
    auto control = std::make_unique<ControlResult>();
    control->id = control_id_;
    results_.send(std::move(control));
}

void Dispatcher::fail(const Error& error) {
    std::vector<std::shared_ptr<Generation>> lost;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) {
            failure_ = error;
        }
        std::vector<int> ids;
        for (const auto& [id, running] : running_) {
            ids.push_back(id);
            lost.push_back(running.generation);
        }
        drop_tasks(ids);
        for (const Request& request : waiting_) {
            lost.push_back(request.generation);
        }
        waiting_.clear();
        wake();
    }
    for (const auto& generation : lost) {
        generation->fail(error);
    }
}

void Dispatcher::stop() {
    fail(Error(ErrorKind::engine_closed, "the engine was closed; open another one to go on"));
    {
        std::lock_guard<std::mutex> lock(mutex_);
        wake();
        stopping_ = true;
    }
    if (thread_.joinable()) {
        thread_.join();
    }
}

bool Dispatcher::failed() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return failure_.has_value();
}

void Dispatcher::check_running() const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (failure_) {
        throw *failure_;
    }
}

bool Dispatcher::idle() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return waiting_.empty() && running_.empty();
}

int32_t Dispatcher::n_waiting(int32_t n_running) const {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto n_posted = static_cast<int32_t>(running_.size()); // some of them wait for room in the KV cache
    return static_cast<int32_t>(waiting_.size()) + std::max(0, n_posted - n_running);
}

} // namespace xlc
