// The text that a slot's answer shows. Included by server-context.cpp before llama.cpp's file.
//
// llama.cpp looks for stop sequences only when the text ends with a whole character, and then only near its
// end: one that ends in front of half a character was missed. Text that may be the beginning of a stop
// sequence was lost from a stream that ended with it. Tokens that end with half a character had no
// probabilities.
#pragma once

#include "server-common.h"
#include "server-task.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace {

// Whether the answer ends with the token that this thread's slot shows, so that nothing is held back.
thread_local bool answer_ends = false;

// End the answer before the earliest stop sequence in the text that was not sent yet. Return whether there is
// one.
template<typename Slot> bool cut_at_stop(Slot& slot) {
    const size_t sent = std::min(slot.n_sent_text, slot.generated.text.size());
    size_t first = std::string::npos;
    for (const std::string& word : slot.task->params.antiprompt) {
        const size_t at = slot.generated.text.find(word, sent);
        if (at < first) {
            first = at;
            slot.stopping_word = word;
        }
    }
    if (first == std::string::npos) {
        return false;
    }
    slot.stop = STOP_TYPE_WORD;
    slot.has_next_token = false;
    slot.generated.truncate(first);
    return true;
}

// Called for each token, in place of validate_utf8 on the whole text. `send` sends a token without text.
// Returns SIZE_MAX to let llama.cpp send what it has, also half a character at the end.
template<typename Slot, typename Send>
size_t shown_text(
    Slot& slot,
    completion_token_output& token,
    const std::string& piece,
    bool context_is_full,
    bool is_end_token,
    const Send& send) {
    const bool wants_probabilities = slot.task->params.sampling.n_probs > 0;
    if (wants_probabilities) { // the token's own text comes last; ChoiceStream takes it from there
        token.probs.push_back({token.tok, piece, token.prob});
    }
    answer_ends = cut_at_stop(slot) || is_end_token || context_is_full || !slot.has_budget();
    if (answer_ends) {
        return SIZE_MAX;
    }
    const std::string& text = slot.generated.text;
    const size_t n_whole = validate_utf8(text);
    if (n_whole < text.size() && wants_probabilities) {
        completion_token_output silent = token;
        silent.text_to_send.clear();
        slot.add_token(silent);
        if (slot.task->params.stream) {
            send(silent);
        }
    }
    return n_whole;
}

size_t find_partial_stop(const std::string& text, const std::string& word) {
    return answer_ends ? std::string::npos : string_find_partial_stop(text, word);
}

} // namespace
