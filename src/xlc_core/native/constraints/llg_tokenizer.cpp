#include "constraints/llg_tokenizer.h"

#include "support/deep_stack.h"
#include "support/errors.h"
#include "support/process.h"

#include "llama.h"

#include <algorithm>
#include <exception>

namespace xlc {

namespace {

// For a grammar of this size the stack of deep_stack.h suffices, even if it is one long chain of rules.
constexpr size_t max_grammar = size_t{2} << 20;

constexpr size_t max_compiled = 32; // grammars that are kept compiled for a vocabulary

constexpr char control_mark = '\xFF'; // llguidance's convention; this byte never occurs in UTF-8

// Examples of text that grammars force. If a tokenizer does not reproduce them byte for byte, for example
// because it adds a space, it must not be used for forced text.
constexpr const char* probe_texts[] = {"a", " a", "{\"name\": \"", "\n\n  ", "</x>", "é", "12"};

std::string piece_of(const llama_vocab* vocab, llama_token token) {
    std::string piece(32, '\0');
    int32_t n = llama_token_to_piece(vocab, token, piece.data(), static_cast<int32_t>(piece.size()), 0, true);
    if (n < 0) {
        piece.resize(static_cast<size_t>(-n));
        n = llama_token_to_piece(vocab, token, piece.data(), static_cast<int32_t>(piece.size()), 0, true);
    }
    piece.resize(static_cast<size_t>(std::max(n, 0)));
    return piece;
}

std::vector<uint32_t> tokenize_with(const llama_vocab* vocab, std::string_view text, bool parse_special) {
    std::vector<llama_token> tokens(text.size() + 8);
    const auto n_text = static_cast<int32_t>(text.size());
    auto call = [&] {
        const auto n_max = static_cast<int32_t>(tokens.size());
        return llama_tokenize(vocab, text.data(), n_text, tokens.data(), n_max, false, parse_special);
    };
    int32_t n = call();
    if (n < 0) {
        tokens.resize(static_cast<size_t>(-n));
        n = call();
    }
    return {tokens.begin(), tokens.begin() + std::max(n, 0)};
}

} // namespace

LlgTokenizer::LlgTokenizer(const llama_vocab* vocab) : vocab_(vocab) {
    const int32_t n_tokens = llama_vocab_n_tokens(vocab);
    for (llama_token token = 0; token < n_tokens; ++token) {
        const bool ends = llama_vocab_is_eog(vocab, token);
        const int attributes = llama_vocab_get_attr(vocab, token);
        constexpr int not_text =
            LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN | LLAMA_TOKEN_ATTR_UNUSED;
        add_token(piece_of(vocab, token), ends || (attributes & not_text) != 0);
        if (ends) {
            end_tokens_.push_back(static_cast<uint32_t>(token));
        }
    }
    if (end_tokens_.empty()) {
        throw Error(
            ErrorKind::unsupported_feature,
            "this model cannot be constrained: its vocabulary has no token that ends an answer");
    }
    create();
}

LlgTokenizer::LlgTokenizer() {
    for (int byte = 0; byte < 256; ++byte) {
        const char text = static_cast<char>(byte);
        add_token(std::string_view(&text, 1), false);
    }
    end_tokens_.push_back(static_cast<uint32_t>(n_tokens()));
    add_token("<end>", true);
    create();
}

void LlgTokenizer::add_token(std::string_view bytes, bool is_control) {
    offsets_.push_back(bytes_.size());
    if (is_control) {
        bytes_.push_back(static_cast<uint8_t>(control_mark));
    }
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    lengths_.push_back(static_cast<uint32_t>(bytes_.size() - offsets_.back()));
}

void LlgTokenizer::create() {
    bool canonical = false;
    // SentencePiece adds a space before a text. A control character in front keeps it away from our text.
    for (const char* guard : {"", "\x02"}) {
        if (vocab_ == nullptr || canonical) {
            break;
        }
        guard_ = guard;
        guard_tokens_ = tokenize_with(vocab_, guard_, false);
        canonical = std::all_of(std::begin(probe_texts), std::end(probe_texts), [this](const char* text) {
            return reads_back(text);
        });
    }

    llg::TokenizerInit init = {};
    init.struct_size = sizeof(init);
    init.vocab_size = static_cast<uint32_t>(n_tokens());
    init.tok_eos = end_tokens_.front();
    init.tok_eos_extra = end_tokens_.data() + 1;
    init.tok_eos_extra_count = static_cast<uint32_t>(end_tokens_.size() - 1);
    init.token_lens = lengths_.data();
    init.token_bytes = bytes_.data();
    // With the model's tokenizer llguidance writes forced text in the tokens that the model was trained on.
    // Without it, llguidance does not force tokens, it only masks.
    init.tokenize_assumes_string = true;
    init.tokenize_fn = canonical ? tokenize_for_llguidance : nullptr;
    init.use_approximate_greedy_tokenize_fn = !canonical;
    init.tokenize_user_data = this;
    init.slices = nullptr; // llguidance's defaults, which also suit JSON

    char error[1024] = {};
    handle_.reset(llg::api().new_tokenizer_v2(&init, error, sizeof(error)));
    if (!handle_) {
        throw Error(
            ErrorKind::unsupported_feature,
            "this model cannot be constrained: llguidance refuses its vocabulary: " + std::string(error));
    }
}

bool LlgTokenizer::ends_answer(uint32_t token) const {
    return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
}

std::string_view LlgTokenizer::token_bytes(uint32_t token) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + offsets_.at(token), lengths_.at(token)};
}

std::vector<uint32_t> LlgTokenizer::tokenize(std::string_view text, bool parse_special) const {
    if (vocab_ == nullptr) {
        std::vector<uint32_t> bytes;
        for (const char byte : text) {
            bytes.push_back(static_cast<unsigned char>(byte));
        }
        return bytes;
    }
    std::vector<uint32_t> tokens = tokenize_with(vocab_, guard_ + std::string(text), parse_special);
    if (tokens.size() >= guard_tokens_.size() &&
        std::equal(guard_tokens_.begin(), guard_tokens_.end(), tokens.begin())) {
        tokens.erase(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(guard_tokens_.size()));
    }
    return tokens;
}

bool LlgTokenizer::reads_back(std::string_view text) const {
    std::string read;
    for (const uint32_t token : tokenize(text, false)) {
        read += token_bytes(token);
    }
    return read == text;
}

// llguidance calls this from any thread. No exception may reach Rust. If this returns no tokens, llguidance
// masks instead of forcing, which is always correct.
size_t LlgTokenizer::tokenize_for_llguidance(
    const void* self, const uint8_t* bytes, size_t n_bytes, uint32_t* tokens, size_t max) {
    try {
        const auto* tokenizer = static_cast<const LlgTokenizer*>(self);
        const std::string_view text(reinterpret_cast<const char*>(bytes), n_bytes);
        const std::vector<uint32_t> found = tokenizer->tokenize(text, false);
        std::string read;
        for (const uint32_t token : found) {
            read += tokenizer->token_bytes(token);
        }
        if (read != text) {
            return 0;
        }
        std::copy_n(found.begin(), std::min(found.size(), max), tokens);
        return found.size();
    } catch (const std::exception&) {
        return 0;
    }
}

llg::MatcherPtr LlgTokenizer::new_matcher(const std::string& kind, const std::string& data) const {
    {
        std::lock_guard<std::mutex> lock(compiled_mutex_);
        const auto found = std::find_if(compiled_.begin(), compiled_.end(), [&](const Compiled& one) {
            return one.data == data && one.kind == kind;
        });
        if (found != compiled_.end()) {
            compiled_.splice(compiled_.begin(), compiled_, found);
            return llg::MatcherPtr(llg::api().clone_matcher(found->matcher.get()));
        }
    }
    llg::MatcherPtr matcher = compile(kind, data); // takes long: others go on
    llg::MatcherPtr copy(llg::api().clone_matcher(matcher.get()));
    std::lock_guard<std::mutex> lock(compiled_mutex_);
    ++n_compiled_;
    compiled_.push_front({kind, data, std::move(matcher)});
    if (compiled_.size() > max_compiled) {
        compiled_.pop_back();
    }
    return copy;
}

size_t LlgTokenizer::n_compiled() const {
    std::lock_guard<std::mutex> lock(compiled_mutex_);
    return n_compiled_;
}

llg::MatcherPtr LlgTokenizer::compile(const std::string& kind, const std::string& data) const {
    if (data.size() > max_grammar) {
        throw Error(
            ErrorKind::constraint, "the grammar has " + std::to_string(data.size()) +
                                       " bytes, more than the limit of " + std::to_string(max_grammar));
    }
    const llg::Api& api = llg::api();
    llg::ConstraintInit init = {};
    api.constraint_init_set_defaults(&init, handle());
    init.log_buffer_level = 0;
    init.log_stderr_level = 0; // a library does not write to the process's stderr
    init.limits.verbose_errors = false;
    // A step lasts until the next mask, and masks are only computed when a sampled token does not fit. So a
    // step may be long, and the default of 200,000 stops long answers with large schemas. This limit means at
    // most 70 ms of work.
    init.limits.step_lexer_fuel = 1'000'000;
    llg::MatcherPtr matcher;
    // llguidance recurses along chains of rules and of $ref. Each link needs kilobytes of stack.
    on_deep_stack([&] { matcher.reset(api.new_matcher(&init, kind.c_str(), data.c_str())); });
    const std::string reason = llg::matcher_error(matcher.get());
    if (!reason.empty()) {
        throw Error(ErrorKind::constraint, reason);
    }
    return matcher;
}

TokenizerRegistry& TokenizerRegistry::instance() {
    return one_per_process<TokenizerRegistry>();
}

std::shared_ptr<const LlgTokenizer> TokenizerRegistry::for_vocab(const llama_vocab* vocab) {
    TokenizerRegistry& self = instance();
    std::shared_ptr<Entry> entry;
    {
        std::lock_guard<std::mutex> lock(self.mutex_);
        std::shared_ptr<Entry>& slot = self.entries_[vocab];
        if (!slot) {
            slot = std::make_shared<Entry>();
        }
        entry = slot;
    }
    std::lock_guard<std::mutex> lock(entry->mutex);
    if (!entry->tokenizer) {
        entry->tokenizer = std::make_shared<const LlgTokenizer>(vocab);
    }
    return entry->tokenizer;
}

void TokenizerRegistry::forget(const llama_vocab* vocab) {
    TokenizerRegistry& self = instance();
    std::lock_guard<std::mutex> lock(self.mutex_);
    self.entries_.erase(vocab);
}

} // namespace xlc
