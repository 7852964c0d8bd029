// Passes requests to llama.cpp's queue in their order, and its results to their generations.
#pragma once

#include "constraints/closing.h"
#include "generation/choice_stream.h"
#include "generation/generation.h"
#include "support/thread.h"

#include "server-queue.h"

#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace xlc {

// A request that is ready to run: one task, with child tasks if several answers are wanted.
struct PreparedTask {
    server_task task;
    std::optional<AnswerFormat> format;   // for an answer that may hold thinking or tool calls
    std::optional<ClosingParams> closing; // for a grammar that is closed in time
};

class Dispatcher : public GenerationOwner, public std::enable_shared_from_this<Dispatcher> {
public:
    // The queues belong to a server_context, which must outlive stop().
    Dispatcher(server_queue& tasks, server_response& results, int32_t n_slots);
    ~Dispatcher() override;

    // Start to pass on results. Throws Error(engine_failed) when the thread cannot be started.
    void start();

    // Queue a request. Throws Error(engine_closed) after stop() and the failure after fail().
    std::shared_ptr<Generation> submit(PreparedTask prepared);

    void cancel(Generation& generation) override;

    // End all running and later requests with this error.
    void fail(const Error& error);

    // fail() with engine_closed, then end the thread.
    void stop();

    bool failed() const;
    // Throws the error of fail() once it was called.
    void check_running() const;
    // Requests that have not started, if so many slots are running.
    int32_t n_waiting(int32_t n_running) const;
    // Whether all requests are over.
    bool idle() const;

private:
    struct Request {
        std::shared_ptr<Generation> generation;
        PreparedTask prepared;
    };
    struct Running {
        std::shared_ptr<Generation> generation;
        std::shared_ptr<ChoiceStream> stream;
    };

    // A request that an exception has ended, and has not been told yet.
    struct Failure {
        std::shared_ptr<Generation> generation;
        Error error;
    };

    void run();
    server_task_result_ptr receive(std::unordered_set<int>& ids);
    void deliver(server_task_result& result);
    void fail_task(int id, const Error& error);
    void fail_request(const std::shared_ptr<Generation>& generation, const Error& error);

    // Post waiting requests while there is room, then end those that could not be posted. Called without
    // mutex_, because ending a request wakes its caller.
    void admit();

    // With mutex_ held:
    std::vector<Failure> post_waiting();
    void post(Request& request);
    void forget(const Generation& generation);
    void drop_tasks(const std::vector<int>& ids);
    std::vector<int> running_ids(const Generation& generation) const;
    void wake(); // make the thread check running_ and stopping_ again

    server_queue& tasks_;
    server_response& results_;
    const int32_t n_slots_;
    const int control_id_; // our own task id, used to wake the waiting thread

    mutable std::mutex mutex_;
    std::deque<Request> waiting_;
    std::unordered_map<int, Running> running_; // by task id; at most a few times n_slots_
    bool running_changed_ = true;              // the thread still waits for other ids than those in running_
    std::optional<Error> failure_;
    bool stopping_ = false;
    Thread thread_;
};

} // namespace xlc
