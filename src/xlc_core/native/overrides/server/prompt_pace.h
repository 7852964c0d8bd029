// How many tokens of prompts a step may have, from how long they take on this machine.
#pragma once

#include <cstdint>
#include <limits>

namespace xlc {

class PromptPace {
public:
    static constexpr int32_t no_limit = std::numeric_limits<int32_t>::max();
    // How long prompts may keep a stream waiting. With a step's other work it then gets a token every fifth
    // of a second.
    static constexpr double shared_seconds = 0.15;
    // The same for other prompts. Large steps read prompts faster, and a new request can end one.
    static constexpr double turn_seconds = 0.5;
    // How long a single operation may take. A computation can only be ended between two of them.
    static constexpr double node_seconds = 0.1;
    // Fewer would cost more than they help: a step also reads all weights.
    static constexpr int32_t least = 16;
    static constexpr int32_t least_alone = 64;

    // Tokens of prompts in a step that streams wait for.
    int32_t shared_limit() const { return limit_of(shared_seconds); }

    // Tokens of prompts in a step that other prompts wait for.
    int32_t turn_limit() const { return limit_of(turn_seconds); }

    // Tokens of a prompt that is read alone: as many as llama.cpp takes, but no operation takes long. It
    // starts small after an interruption, so that at most half of what is computed is lost if new requests
    // come all the time.
    int32_t alone_limit() const;

    // A step with so many tokens of prompts, and maybe some tokens of answers, took so long, and its longest
    // operation so long.
    void record(int32_t n_tokens, double seconds, double longest_node, bool alone);

    // A new request has ended a step of a prompt that was read alone.
    void record_interruption() { alone_seconds_ = shared_seconds; }

    double expected_seconds(int32_t n_tokens) const { return seconds_per_token() * n_tokens; }

    static uint64_t n_parts(); // number of record()s in this process

private:
    double seconds_per_token() const; // 0: not known
    int32_t tokens_in(double seconds) const;
    int32_t limit_of(double seconds) const;

    // Seconds per token: of large steps, of small ones, and of the longest operation.
    double large_ = 0;
    double small_ = 0;
    double node_ = 0;
    double alone_seconds_ = std::numeric_limits<double>::infinity();
};

} // namespace xlc
