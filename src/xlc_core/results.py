"""Results of the engine: frozen objects instead of dictionaries."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from xlc_core.messages import Message, ToolCall

if TYPE_CHECKING:
    from xlc_core.constraints.constraint import Constraint

__all__ = [
    "Completion",
    "CompletionChoice",
    "Decision",
    "DecisionAnswer",
    "EngineMetrics",
    "FinishReason",
    "ModelInfo",
    "RerankScore",
    "Timings",
    "TokenLogprob",
    "Usage",
]

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
"""Why an answer ended: by itself or at a stop sequence; at ``max_tokens`` or the end of the context; with
tool calls; by ``cancel()``."""


@dataclass(frozen=True)
class TokenLogprob:
    """A token and its probability.

    Attributes:
        token: the token's text; may be half a character, replaced by U+FFFD.
        id: the token's number in the vocabulary.
        logprob: natural logarithm of its probability.
        top: the likeliest tokens at this place, best first; empty within an entry of another ``top``.
        bytes: the token's bytes. Those of all tokens, joined, are the answer's text in UTF-8, with its thinking and
            calls: where the answer ends within a token, before a stop sequence or half a character, they are cut.
    """

    token: str
    id: int
    logprob: float
    top: tuple[TokenLogprob, ...] = ()
    bytes: builtins.bytes = b""


@dataclass(frozen=True)
class Usage:
    """Tokens of one request.

    Attributes:
        prompt_tokens: tokens in the prompt, cached ones included.
        completion_tokens: tokens generated, over all ``n`` answers.
        cached_tokens: prompt tokens that were not computed again.
        reasoning_tokens: completion tokens of the thinking, without its tags, over all ``n`` answers.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Timings:
    """Where the time went, as llama.cpp measures it (``server_slot_stats``).

    Attributes:
        prompt_seconds: seconds of reading the part of the prompt that was not cached.
        prompt_tokens: tokens in that part.
        generation_seconds: seconds from the first generated token to the last.
        generation_tokens: tokens generated. The first comes with the prompt and takes no extra time.
        draft_tokens: tokens that speculation proposed.
        draft_accepted: number of these that were right.
        draft_steps: steps that verified a draft.
    """

    prompt_seconds: float = 0.0
    prompt_tokens: int = 0
    generation_seconds: float = 0.0
    generation_tokens: int = 0
    draft_tokens: int = 0
    draft_accepted: int = 0
    draft_steps: int = 0

    @property
    def draft_acceptance(self) -> float:
        """Share of the drafted tokens that were right; 0 without drafts."""
        return self.draft_accepted / self.draft_tokens if self.draft_tokens else 0.0

    @property
    def prompt_tokens_per_second(self) -> float:
        """Tokens of the prompt that were read in a second; 0 when nothing was read."""
        return self.prompt_tokens / self.prompt_seconds if self.prompt_seconds > 0 else 0.0

    @property
    def generation_tokens_per_second(self) -> float:
        """Tokens generated in a second, without the first token; 0 for answers of one token."""
        steps = self.generation_tokens - 1
        return steps / self.generation_seconds if steps > 0 and self.generation_seconds > 0 else 0.0


@dataclass(frozen=True)
class CompletionChoice:
    """One of the ``n`` answers to a request.

    Attributes:
        text: the answer, without thinking.
        reasoning: the thinking; empty if the model does not think.
        tool_calls: parsed calls, in order.
        finish_reason: why it ended; ``length`` also if a constraint was closed because the tokens ran out.
        stop_sequence: the stop sequence that was hit, else empty; it is not part of ``text``.
        logprobs: one entry per generated token if requested, else empty.
        timings: where the time went.
        constraint: the answer's constraint; None: any answer was allowed.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    stop_sequence: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    timings: Timings = field(default_factory=Timings)
    constraint: Constraint | None = field(default=None, repr=False)

    @cached_property
    def parsed(self) -> Any:
        """The text parsed by the constraint, such as an instance of a pydantic model; None without a constraint.

        The text is parsed at the first access: each access gives the same object.

        Raises:
            ValueError: the answer was cut off (``finish_reason`` says so), or one of the type's validators refuses it
                (pydantic's ValidationError); ``text`` holds the incomplete answer.
        """
        if self.constraint is None:
            return None
        try:
            # White space may stand between thinking and answer.
            return self.constraint.parse(self.text.lstrip() if self.reasoning else self.text)
        except ValueError as error:
            if self.finish_reason == "length" and sys.version_info >= (3, 11):
                error.add_note("The answer was cut off, as its tokens ran out: raise max_tokens, or n_ctx.")
            raise

    def __getstate__(self) -> dict[str, Any]:
        # The parsed object can be made again, and may be of a class that cannot be pickled.
        return {name: value for name, value in self.__dict__.items() if name != "parsed"}

    @property
    def message(self) -> Message:
        """The answer as a message to append to the chat."""
        return Message(
            role="assistant",
            content=self.text,
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
        )


@dataclass(frozen=True)
class Completion:
    """The result of a chat or completion. The single-answer properties read the first choice.

    Attributes:
        choices: the ``n`` answers, in order.
        usage: tokens of the whole request.
        model: the model's name as it was given to the engine.
    """

    choices: tuple[CompletionChoice, ...]
    usage: Usage
    model: str = ""

    @property
    def text(self) -> str:
        """The answer, without thinking."""
        return self.choices[0].text

    @property
    def reasoning(self) -> str:
        """The thinking; empty if the model does not think."""
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Parsed tool calls, in order."""
        return self.choices[0].tool_calls

    @property
    def finish_reason(self) -> FinishReason:
        """Why the answer ended."""
        return self.choices[0].finish_reason

    @property
    def stop_sequence(self) -> str:
        """The stop sequence that was hit, else empty."""
        return self.choices[0].stop_sequence

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """One entry per generated token if requested, else empty."""
        return self.choices[0].logprobs

    @property
    def timings(self) -> Timings:
        """Where the time went."""
        return self.choices[0].timings

    @property
    def parsed(self) -> Any:
        """The text parsed by the constraint; see CompletionChoice.parsed."""
        return self.choices[0].parsed

    @property
    def message(self) -> Message:
        """The answer as a message to append to the chat."""
        return self.choices[0].message


@dataclass(frozen=True)
class RerankScore:
    """How well one document answers the query.

    Attributes:
        index: the document's place in the caller's list.
        score: the model's score; higher is better. Its range depends on the model and the option ``scores``.
    """

    index: int
    score: float


@dataclass(frozen=True)
class ModelInfo:
    """Metadata of the model file, and the sizes that the engine has chosen.

    Attributes:
        name: the name by which the caller named the model.
        path: the file.
        architecture: llama.cpp's name, such as ``llama`` or ``bert``.
        description: llama.cpp's one-line description, such as ``llama 135M Q8_0``.
        n_params: number of weights.
        size_bytes: bytes of weights.
        n_ctx_train: tokens of context the model was trained with.
        n_ctx: tokens that one request may hold, prompt and answer together.
        n_ctx_total: tokens of KV cache for all slots together; 0 for a model that is made for retrieval.
        n_parallel: slots: requests that are generated at once; 0 for a model that is made for retrieval.
        n_embd: dimensions of an embedding.
        n_vocab: tokens in the vocabulary.
        pooling: how token vectors are combined into one, if the engine or the file says so; else ``none``, where embed
            takes the mean.
        can_generate: whether chat and complete work.
        can_rerank: whether the file has a ranking head.
        has_chat_template: whether the file brings a chat template.
        supports_tools: whether that template has its own format for tool calls.
        supports_thinking: whether that template can switch thinking on and off.
        reads: kinds of media that messages may hold: of ``image``, ``audio`` and ``video``.
        query_prompt: text that an embedding model needs before a query: from the catalog, its file, or its name.
        document_prompt: text that it needs before a document.
        decides: whether decide works: the model answers typed questions without generating text.
    """

    name: str
    path: str
    architecture: str
    description: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    n_ctx: int
    n_embd: int
    n_vocab: int
    pooling: str
    can_generate: bool
    can_rerank: bool
    has_chat_template: bool
    supports_tools: bool
    supports_thinking: bool
    reads: frozenset[str] = frozenset()
    query_prompt: str = ""
    document_prompt: str = ""
    n_ctx_total: int = 0
    n_parallel: int = 0
    decides: bool = False


@dataclass(frozen=True)
class DecisionAnswer:
    """A decision model's answer to one question; which fields are set depends on the question's type.

    Attributes:
        type: ``noul``, ``choice`` or ``score``.
        noul: probability that the answer is yes; None for other types.
        choice: the likeliest label; None for other types.
        score: expected level, the sum of level × probability, from 0; None for other types.
        probabilities: probability of each label, or of each level by its number as text, with the sum 1; empty for
            ``noul``.
        legend: description of each level by its number as text; empty for other types.
        confidence: how sure the model is, 0 to 1; None for ``noul``. For a choice of n labels it is
            (p − 1/n) / (1 − 1/n) for the likeliest one's probability p; for a score, 1 less the mean distance from the
            likeliest level as a share of that of evenly spread probabilities: TypeSafe's formulas, by llama.cpp's
            ``server-decision.cpp``.
    """

    type: str
    noul: float | None = None
    choice: str | None = None
    score: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    legend: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None


@dataclass(frozen=True)
class Decision:
    """Answers of a decision model.

    Attributes:
        answers: by the names of the questions.
        usage: tokens that were read.
        model: name under which the model was opened.
    """

    answers: Mapping[str, DecisionAnswer]
    usage: Usage
    model: str = ""


@dataclass(frozen=True)
class EngineMetrics:
    """Counters since the engine was opened, and its current work; without embedding and ranking.

    If llama.cpp has failed, so that the engine loaded the model again, they begin again.

    Attributes:
        requests_running: requests that hold a slot.
        requests_waiting: requests that wait for one.
        requests_paused: running requests that were paused to make room for older ones (docs/engine.md).
        pauses: how often a request was paused.
        prompt_tokens: prompt tokens processed, without cached ones.
        prompt_seconds: seconds spent on them.
        cached_tokens: prompt tokens taken from the cache.
        generation_tokens: tokens generated.
        generation_seconds: seconds spent on them, summed over slots.
        draft_tokens: tokens that speculation proposed.
        draft_accepted: number of these that were right.
    """

    requests_running: int = 0
    requests_waiting: int = 0
    requests_paused: int = 0
    pauses: int = 0
    prompt_tokens: int = 0
    prompt_seconds: float = 0.0
    cached_tokens: int = 0
    generation_tokens: int = 0
    generation_seconds: float = 0.0
    draft_tokens: int = 0
    draft_accepted: int = 0
