"""Answers token by token, for Python functions that must see each token or its scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xlc_core.compat.llama_cpp.criteria import LogitsProcessor, LogitsProcessorList, StoppingCriteria
from xlc_core.compat.llama_cpp.sampling import Scores, choose_token, require_simple_sampling
from xlc_core.compat.llama_cpp.vocabulary import Vocabulary
from xlc_core.constraints.checking import native_module
from xlc_core.constraints.text_constraints import Lark
from xlc_core.engine.engine import Engine
from xlc_core.errors import UnsupportedFeatureError
from xlc_core.events import Event, Finished, TextDelta
from xlc_core.results import Completion, CompletionChoice, FinishReason, TokenLogprob, Usage

__all__ = ["Prompt", "TokenSource", "assembled"]


@dataclass(frozen=True)
class Prompt:
    """A prompt in both of its forms.

    Attributes:
        text: as the engine takes it.
        tokens: as the engine reads it.
    """

    text: str
    tokens: list[int]


@dataclass
class TokenSource:
    """The tokens of one answer, without the one that ends it.

    With a logits processor each token is a request of its own, for the log-probabilities of the whole vocabulary: half
    a second on a CPU. The prompt's start comes from the engine's cache.

    Attributes:
        engine: the engine.
        vocabulary: its tokens.
        prompt: the prompt.
        options: the engine's options, without stop sequences.
        processors: functions between the model's scores and the choice; none: the engine chooses.
        finish_reason: why the tokens ended; set at the end.
    """

    engine: Engine
    vocabulary: Vocabulary
    prompt: Prompt
    options: dict[str, Any]
    processors: LogitsProcessor | list[LogitsProcessor] | None = None
    finish_reason: FinishReason = field(default="length", init=False)

    def __post_init__(self) -> None:
        if self.processors is not None:
            require_simple_sampling(self.options)

    def __iter__(self) -> Iterator[TokenLogprob]:
        return self._engine_tokens() if self.processors is None else self._processed_tokens()

    def _engine_tokens(self) -> Iterator[TokenLogprob]:
        options = {**self.options, "logprobs": max(1, self.options.get("logprobs", 0))}
        n_seen = 0
        with self.engine.stream_complete(self.prompt.text, **options) as stream:
            for event in stream:
                if isinstance(event, TextDelta):
                    n_seen += len(event.logprobs)
                    yield from event.logprobs
                elif isinstance(event, Finished):
                    self.finish_reason = event.completion.finish_reason
                    yield from event.completion.logprobs[n_seen:]

    def _processed_tokens(self) -> Iterator[TokenLogprob]:
        processors = self.processors
        process = LogitsProcessorList(processors) if isinstance(processors, list) else processors
        assert process is not None
        model = _NextTokenScores(self.engine, self.vocabulary, self.prompt)
        dice = np.random.default_rng(self.options.get("seed"))
        ends, tokens = self.vocabulary.ends(), list(self.prompt.tokens)
        for _ in range(min(self.options.get("max_tokens", 1 << 30), self.engine.info.n_ctx - len(tokens))):
            scores = model.scores(tokens)
            processed = np.asarray(process(np.array(tokens, dtype=np.intc), scores.copy()), dtype=np.single)
            token = choose_token(processed, tokens, self.options, dice)
            if token in ends:
                self.finish_reason = "stop"
                return
            tokens.append(token)
            yield self._described(token, scores)

    def _described(self, token: int, scores: Scores) -> TokenLogprob:
        n_top = self.options.get("logprobs", 0)
        best = np.argsort(-scores, kind="stable")[:n_top] if n_top else ()
        return self._entry(token, scores, tuple(self._entry(int(other), scores) for other in best))

    def _entry(self, token: int, scores: Scores, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        text = self.vocabulary.detokenize([token], special=False)
        return TokenLogprob(text.decode("utf-8", "replace"), token, float(scores[token]), top, text)


class _Forced(Lark):
    """Certain tokens. Without a model nothing can be checked: the tokens are its own."""

    def check(self) -> None:
        native_module()


class _NextTokenScores:
    """The log-probabilities of all tokens that may follow some tokens."""

    def __init__(self, engine: Engine, vocabulary: Vocabulary, prompt: Prompt) -> None:
        self._engine, self._vocabulary = engine, vocabulary
        self._text, self._n_read = prompt.text, len(prompt.tokens)

    def scores(self, tokens: list[int]) -> Scores:
        """Return them as an array by token.

        Tokens that no text is read as are forced after the longest part that is.

        Raises:
            UnsupportedFeatureError: one of those has the bytes of another token, so that it cannot be forced.
        """
        if (text := self._vocabulary.prompt_text(tokens)) is not None:
            self._text, self._n_read = text, len(tokens)
        forced = tokens[self._n_read :]
        n_vocab = self._vocabulary.n_tokens
        options: dict[str, Any] = {"ignore_eos": True}  # so that a token comes, whose scores are the model's
        if forced:
            self._require_forceable(forced)
            grammar = "start: " + " ".join(f"<[{token}]>" for token in [*forced, forced[0]])
            options = {"constraint": _Forced(grammar), "close_constraint": False, "speculative": False}
        completion = self._engine.complete(
            self._text, max_tokens=len(forced) + 1, temperature=0, logprobs=n_vocab, cache_prompt=True, **options
        )
        scores = np.full(n_vocab, -np.inf, dtype=np.single)
        for entry in completion.logprobs[len(forced)].top:
            scores[entry.id] = entry.logprob
        return scores

    def _require_forceable(self, tokens: list[int]) -> None:
        for token in tokens:
            if (first := self._vocabulary.same_bytes(token)) != token:
                raise UnsupportedFeatureError(
                    f"a function chose token {token} where this model's tokenizer reads token {first}, which has the "
                    "same bytes; the engine cannot continue such a text"
                )


def assembled(
    source: TokenSource, stops: list[str], criteria: StoppingCriteria | None, model_name: str
) -> Iterator[Event]:
    """Yield the events of an answer.

    Args:
        source: its tokens.
        stops: texts that end it.
        criteria: a function that ends it; the token after which it says so is the last.
        model_name: the model's name.
    """
    prompt = source.prompt.tokens
    tokens: list[int] = []
    logprobs: list[TokenLogprob] = []
    text, n_sent = "", 0
    finish: FinishReason = "stop"
    unset = np.full(source.vocabulary.n_tokens, np.nan, dtype=np.single)
    for entry in source:
        if criteria is not None and criteria(np.array([*prompt, *tokens], dtype=np.intc), unset):
            break
        tokens.append(entry.id)
        logprobs.append(entry)
        text = source.vocabulary.detokenize(tokens, special=False).decode("utf-8", "ignore")
        if places := [text.index(stop) for stop in stops if stop in text]:
            text = text[: min(places)]
            break
        n_safe = len(text) - _held_back(text, stops)
        if n_safe > n_sent:
            yield TextDelta(text[n_sent:n_safe], logprobs=(entry,))
            n_sent = n_safe
    else:
        finish = source.finish_reason
    if len(text) > n_sent:
        yield TextDelta(text[n_sent:])
    choice = CompletionChoice(text, finish_reason=finish, logprobs=tuple(logprobs))
    yield Finished(Completion((choice,), Usage(len(prompt), len(tokens)), model_name))


def _held_back(text: str, stops: list[str]) -> int:
    """Return how many characters at the end may be the start of a stop sequence."""
    lengths = [n for stop in stops for n in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:n])]
    return max(lengths, default=0)
