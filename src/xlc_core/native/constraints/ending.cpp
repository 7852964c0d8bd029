#include "constraints/ending.h"

#include "common.h"
#include "constraints/forced_tokens.h"
#include "constraints/grammar_steps.h"
#include "llama-cpp.h"
#include "sampling.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <numeric>
#include <string_view>

namespace xlc {

namespace {

// Outside of a string, always right where it fits: ends a value or a tag.
constexpr const char* ends[] = {"}", "]", ")", "\""};

// Leads to what is behind a value: the end tag of a call, the value of a key, another value. The last is
// tried after the tokens of the template, because calls may be repeated without end.
constexpr const char* links[] = {"<", ":", ","};

// Texts that a pattern or a grammar may require, or that a value may begin with. The long words help to reach
// a minimum length.
constexpr const char* fillers[] = {
    ">",    ";", "\n", ".", "@", "/", "Z", "com", " responsibilities", " international", " information",
    " more"};
constexpr const char* filler_characters =
    "0123456789[{ntf-+SDTabcdefghijklmopqrsuvwxyzABCEFGHIJKLMNOPQRUVWXY_ ('=!?#%&*|^$\\~`";

constexpr int32_t max_part = 64; // tokens of what a pattern requires

// Each use of a filler moves it back by this many places. Otherwise a filler that may be repeated forever
// would keep the others from being tried.
constexpr int places_per_use = 6;

// Digits, small letters and capital letters: where one is allowed, the others often are, and each would have
// its turn before what ends a run of them.
constexpr int n_classes = 4; // with 0 for all other fillers
constexpr size_t class_of_digits = 1;
constexpr int places_per_class_use = 40;

// If no ending is found, other fillers are tried at the first choices, such as the name of another tool.
constexpr int n_choices_varied = 2;
constexpr int n_others_tried = 3;

// A token with one of these may end a text, or what the text is in.
constexpr const char* may_end_text = "\"'`\\<>{}[]()|\n";

std::atomic<int64_t> n_searches = 0;

constexpr int max_in_a_row = 64; // repeats of one end or link, for strings that do not look like strings

// Return the single token of a text, also when the tokenizer puts another token before it. LLAMA_TOKEN_NULL
// if the text is not a single token.
llama_token token_of(const llama_vocab* vocab, const std::string& text) {
    const std::vector<llama_token> tokens = common_tokenize(vocab, text, false, false);
    const bool found = !tokens.empty() && common_token_to_piece(vocab, tokens.back(), false) == text;
    return found ? tokens.back() : LLAMA_TOKEN_NULL;
}

// Whether a control token ends something, as <|tool_calls_end|> and </tool_call> do.
bool names_an_end(std::string_view text) {
    return text.find("end") != std::string_view::npos || text.find('/') != std::string_view::npos;
}

} // namespace

EndingFinder::EndingFinder(
    const llama_vocab* vocab,
    const std::vector<std::string>& thinking_ends,
    const std::vector<std::string>& text_ends,
    const std::vector<RequiredPart>& parts)
    : vocab_(vocab), end_token_(llama_vocab_eot(vocab)), quote_(token_of(vocab, "\"")),
      tilde_(token_of(vocab, "~")) {
    if (end_token_ == LLAMA_TOKEN_NULL) {
        end_token_ = llama_vocab_eos(vocab);
    }
    for (const char* text : ends) {
        ends_.push_back(token_of(vocab, text));
    }
    for (const char* text : links) {
        links_.push_back(token_of(vocab, text));
    }
    for (llama_token id = 0; id < llama_vocab_n_tokens(vocab); ++id) {
        if (llama_vocab_is_control(vocab, id) && !llama_vocab_is_eog(vocab, id)) {
            control_.push_back(id);
        }
    }
    std::stable_partition(control_.begin(), control_.end(), [&](llama_token id) {
        return names_an_end(llama_vocab_get_text(vocab, id));
    });
    const auto add = [&](const std::string& text) {
        const llama_token token = token_of(vocab, text);
        if (token != LLAMA_TOKEN_NULL) {
            fillers_.push_back({token});
            const auto c = static_cast<unsigned char>(text[0]);
            const bool is_single = text.size() == 1;
            classes_.push_back(
                !is_single        ? 0
                : std::isdigit(c) ? 1
                : std::islower(c) ? 2
                : std::isupper(c) ? 3
                                  : 0);
        }
    };
    for (const char* text : fillers) {
        add(text);
    }
    for (const char* at = filler_characters; *at != '\0'; ++at) {
        add(std::string(1, *at));
    }
    for (const std::string& text : thinking_ends) {
        thinking_ends_.push_back(common_tokenize(vocab, text, false, true));
    }
    for (const std::string& text : text_ends) {
        text_ends_.push_back(common_tokenize(vocab, text, false, true));
    }
    std::vector<std::vector<llama_token>> texts;
    texts.reserve(parts.size());
    for (const RequiredPart& part : parts) {
        texts.push_back(common_tokenize(vocab, text_of(part), false, false));
    }
    texts.erase(
        std::remove_if(texts.begin(), texts.end(), [](auto& text) { return text.empty(); }), texts.end());
    n_parts_ = texts.size();
    fillers_.insert(fillers_.begin(), texts.begin(), texts.end());
    classes_.insert(classes_.begin(), texts.size(), 0);
}

// Return a text that the pattern matches; empty if none is found.
std::string EndingFinder::text_of(const RequiredPart& part) const {
    const std::string grammar = "%llguidance {} start: /" + part.pattern + "/";
    std::string text;
    try {
        const llama_sampler_ptr sampler(llama_sampler_init_llg(vocab_, "lark", grammar.c_str()));
        const auto tokens = write_along({}, sampler.get(), false, max_part);
        for (size_t i = 0; tokens && i + 1 < tokens->size(); ++i) { // without the token that ends an answer
            text += common_token_to_piece(vocab_, (*tokens)[i], false);
        }
    } catch (const std::exception&) {
        return ""; // a part alone may have a reference to another one, or syntax that only schemas have
    }
    if (!part.in_json) {
        return text;
    }
    const std::string quoted =
        nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return quoted.substr(1, quoted.size() - 2);
}

// An unfinished ending.
struct EndingFinder::Draft {
    llama_sampler_ptr grammar;
    std::vector<llama_token> tokens;
    std::vector<int> uses; // of each filler
    Detour detour;
    int n_choices = 0;         // fillers outside of texts, without digits
    bool lacks_detour = false; // no other filler fits at the choice

    bool fits(llama_token token) const {
        return token != LLAMA_TOKEN_NULL && xlc::fits(grammar.get(), token);
    }

    void take(llama_token token) {
        llama_sampler_accept(grammar.get(), token);
        tokens.push_back(token);
    }

    // Append as many of the tokens as fit. Return whether any did.
    bool take_text(const std::vector<llama_token>& text) {
        const size_t before = tokens.size();
        for (const llama_token token : text) {
            if (!fits(token)) {
                break;
            }
            take(token);
        }
        return tokens.size() > before;
    }

    // Whether all of a filler fits that was not used yet.
    bool fits_once(size_t filler, const std::vector<llama_token>& text) const {
        return uses[filler] == 0 && count_fitting(grammar.get(), text) == text.size();
    }

    bool ends_with_run(llama_token token) const {
        const auto n = static_cast<size_t>(max_in_a_row);
        return tokens.size() >= n &&
               std::count(tokens.end() - max_in_a_row, tokens.end(), token) == max_in_a_row;
    }
};

bool EndingFinder::take_structure(Draft& draft) const {
    const auto take_one_of = [&draft](const std::vector<llama_token>& tokens) {
        for (const llama_token token : tokens) {
            if (draft.fits(token) && !draft.ends_with_run(token)) {
                draft.take(token);
                return true;
            }
        }
        return false;
    };
    return take_one_of(ends_) || take_control(draft, false) || take_one_of(links_);
}

bool EndingFinder::take_control(Draft& draft, bool in_text) const {
    const llama_token token = first_that_fits(draft.grammar.get(), control_);
    if (token == LLAMA_TOKEN_NULL || draft.ends_with_run(token) ||
        (in_text && reads_name_as_text(draft, token))) {
        return false;
    }
    draft.take(token);
    return true;
}

// llama.cpp's grammars read the name of a control token as text where its characters may stand.
bool EndingFinder::reads_name_as_text(const Draft& draft, llama_token control) const {
    const llama_sampler* grammar = draft.grammar.get();
    if (can_force_tokens(grammar)) {
        return false;
    }
    const llama_token first = token_of(vocab_, common_token_to_piece(vocab_, control, true).substr(0, 1));
    return first != LLAMA_TOKEN_NULL && count_fitting(grammar, {first, tilde_}) == 2;
}

// An end belongs to the text if more text may follow it.
bool EndingFinder::take_end_of_text(Draft& draft) const {
    if (take_control(draft, true)) {
        return true;
    }
    for (const std::vector<llama_token>& end : text_ends_) {
        std::vector<llama_token> end_and_text = end;
        end_and_text.push_back(tilde_);
        if (count_fitting(draft.grammar.get(), end_and_text) == end.size()) {
            draft.take_text(end);
            return true;
        }
    }
    return !can_force_tokens(draft.grammar.get()) && take_mark_after_text(draft);
}

// A plain text of a grammar ends with whatever no text may follow.
bool EndingFinder::take_mark_after_text(Draft& draft) const {
    for (const std::vector<llama_token>* marks : {&ends_, &links_}) {
        for (const llama_token mark : *marks) {
            if (draft.fits(mark) && count_fitting(draft.grammar.get(), {mark, tilde_}) == 1) {
                draft.take(mark);
                return true;
            }
        }
    }
    return false;
}

bool EndingFinder::take_filler(Draft& draft, bool in_text) const {
    std::vector<size_t> order(fillers_.size());
    std::iota(order.begin(), order.end(), 0);
    int class_uses[n_classes] = {};
    for (size_t i = 0; i < fillers_.size(); ++i) {
        class_uses[classes_[i]] += draft.uses[i];
    }
    const auto place = [&](size_t i) {
        const int of_class = classes_[i] == 0 ? 0 : places_per_class_use * class_uses[classes_[i]];
        return static_cast<int>(i) + places_per_use * draft.uses[i] + of_class;
    };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return place(a) < place(b); });
    int n_passed = 0;
    bool is_varied = false;
    for (const size_t i : order) {
        if (!draft.fits(fillers_[i].front()) ||
            (i < n_parts_ && !in_text && !draft.fits_once(i, fillers_[i]))) {
            continue;
        }
        if (n_passed == 0 && !in_text && classes_[i] != class_of_digits) {
            is_varied = ++draft.n_choices == draft.detour.choice;
        }
        if (is_varied && n_passed < draft.detour.n_passed) {
            ++n_passed;
            continue;
        }
        draft.take_text(fillers_[i]);
        ++draft.uses[i];
        return true;
    }
    draft.lacks_detour = n_passed > 0;
    return false;
}

std::optional<std::vector<llama_token>>
EndingFinder::find(const llama_sampler* grammar, bool thinking, int32_t n_max) const {
    ++n_searches;
    if (can_force_tokens(grammar)) {
        return write(grammar, thinking, n_max);
    }
    // llama.cpp's grammars do not report forced text, so it is found character by character. Each takes long,
    // so that a search which finds nothing must be short.
    constexpr int32_t characters_per_token = 4;
    constexpr int32_t most_characters = 1024;
    auto ending = write(grammar, thinking, std::min(n_max * characters_per_token, most_characters));
    if (!ending) {
        return std::nullopt;
    }
    std::string text;
    for (const llama_token token : *ending) {
        text += common_token_to_piece(vocab_, token, false);
    }
    std::vector<llama_token> shorter = common_tokenize(vocab_, text, false, false);
    shorter.push_back(ending->back());
    if (shorter.size() < ending->size() && is_ending(grammar, shorter)) {
        ending = std::move(shorter);
    }
    return static_cast<int32_t>(ending->size()) <= n_max ? ending : std::nullopt;
}

std::optional<std::vector<llama_token>>
EndingFinder::write(const llama_sampler* grammar, bool thinking, int32_t n_max) const {
    auto ending = write_along({}, grammar, thinking, n_max);
    for (int choice = 1; choice <= n_choices_varied && !ending; ++choice) {
        for (int n_passed = 1; n_passed <= n_others_tried && !ending; ++n_passed) {
            ending = write_along({choice, n_passed}, grammar, thinking, n_max);
        }
    }
    return ending;
}

std::optional<std::vector<llama_token>>
EndingFinder::write_along(Detour detour, const llama_sampler* grammar, bool thinking, int32_t n_max) const {
    Draft draft = {
        llama_sampler_ptr(llama_sampler_clone(grammar)), {}, std::vector<int>(fillers_.size(), 0), detour};
    if (thinking && !thinking_ends_.empty()) {
        draft.take_text(thinking_ends_.front()); // adds nothing where the answer may begin without the tag
    }
    bool closed_text = false;
    const auto n_left = [&] { return n_max - static_cast<int32_t>(draft.tokens.size()); };
    while (n_left() > 0) {
        if (draft.fits(end_token_)) {
            draft.tokens.push_back(end_token_);
            return draft.tokens;
        }
        const std::vector<llama_token> forced = forced_tokens(draft.grammar.get(), n_left());
        if (!forced.empty()) {
            std::for_each(forced.begin(), forced.end(), [&](llama_token token) { draft.take(token); });
            continue;
        }
        const bool in_text = draft.fits(tilde_);
        if (in_text && take_end_of_text(draft)) {
            continue;
        }
        if (in_text && !closed_text && draft.fits(quote_)) {
            draft.take(quote_);
            closed_text = true; // twice in a row means that it was not a JSON string
            continue;
        }
        closed_text = false;
        if (!in_text && take_structure(draft)) {
            std::fill_n(draft.uses.begin(), n_parts_, 0); // another value may have the same pattern
            continue;
        }
        if (take_filler(draft, in_text)) {
            continue;
        }
        if (draft.lacks_detour) {
            return std::nullopt;
        }
        const llama_token token = any_that_fits(draft.grammar.get(), vocab_);
        if (token == LLAMA_TOKEN_NULL) {
            return std::nullopt;
        }
        draft.take(token);
    }
    return std::nullopt;
}

bool EndingFinder::is_inside_text(llama_sampler* grammar, llama_token token) const {
    const std::string text = common_token_to_piece(vocab_, token, false);
    return !text.empty() && text.find_first_of(may_end_text) == std::string::npos &&
           tilde_ != LLAMA_TOKEN_NULL && fits(grammar, tilde_);
}

int64_t n_searched_endings() {
    return n_searches;
}

bool EndingFinder::is_ending(const llama_sampler* grammar, const std::vector<llama_token>& tokens) {
    return count_fitting(grammar, tokens) == tokens.size();
}

} // namespace xlc
