"""The one builder of requests.

It turns messages, a prompt or an infill, the options and the engine's state into one native request: template checks,
media, LoRA scales, constraint, tools, deadline. A request is complete when it is made, and nothing changes it.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xlc_core import _native
from xlc_core.constraints.constraint import Constraint, constraint_key, to_constraint, with_thinking
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError
from xlc_core.generation import media
from xlc_core.generation.answer_tool import AnswerTool
from xlc_core.generation.conversion import MessageLike, to_chat_request, to_messages, to_sampling, to_tools
from xlc_core.generation.off_loop import is_long
from xlc_core.generation.template_checks import render_checked
from xlc_core.generation.tool_choice import ToolUse, to_tool_use
from xlc_core.options.sampling import ChatOptions, CompletionOptions
from xlc_core.options.thinking_switch import ThinkingSwitch
from xlc_core.results import ModelInfo
from xlc_core.texts import check_items, check_text, show_value
from xlc_core.waiting import Deadline

__all__ = ["InfillFiles", "Request", "RequestBuilder"]

InfillFiles = Mapping[str, str] | Sequence[tuple[str, str]]
"""Other files that the text depends on: their texts by name, the most important one last."""

_N_KNOWN_CONSTRAINTS = 32  # as many compiled grammars as the native engine keeps


@dataclass(frozen=True)
class Request:
    """A request that is ready to be queued.

    Attributes:
        native: all that the native engine needs.
        n: how many answers were asked for.
        deadline: when the request is given up.
        constraint: what the answer must match.
        answer_tool: the tool that stands for the constraint beside other tools.
        thinking_switch: ends the thinking from outside.
    """

    native: _native.GenerationRequest
    n: int
    deadline: Deadline
    constraint: Constraint | None = None
    answer_tool: AnswerTool | None = None
    thinking_switch: ThinkingSwitch | None = None


class RequestBuilder:
    """Builds the requests of one engine. Any number of threads may use it.

    Args:
        engine: renders chats and knows control tokens.
        info: what the engine says of its model.
        media_rules: which files and links messages may name.
        lora_scales: returns the scales of all LoRA adapters by name, given those that a request changes.
    """

    def __init__(
        self,
        engine: _native.Engine,
        info: ModelInfo,
        *,
        media_rules: media.MediaRules,
        lora_scales: Callable[[Mapping[str, float] | None], dict[str, float]],
    ) -> None:
        self._engine = engine
        self._info = info
        self._media_rules = media_rules
        self._lora_scales = lora_scales
        self._control_tokens: dict[str, int] = {}
        self._known = _RecentKeys(_N_KNOWN_CONSTRAINTS)

    def takes_long(self, prompt: str | Sequence[MessageLike], options: CompletionOptions) -> bool:
        """Return whether a request may take more than a millisecond to build and queue.

        It does when the prompt is long or holds media, when tools must be rendered, and when the constraint is not
        among those that this engine has compiled lately.
        """
        if isinstance(options, ChatOptions) and options.tools:
            return True
        if options.constraint is not None and not self._known.has(constraint_key(options.constraint)):
            return True
        return is_long(prompt)

    def chat(
        self,
        messages: str | Sequence[MessageLike],
        options: ChatOptions,
        *,
        stream: bool = False,
        embed: bool = False,
        deadline: Deadline | None = None,
    ) -> Request:
        """Build a request that answers a chat, or embeds it.

        Args:
            messages: the chat.
            options: of the request.
            stream: whether the answer comes in pieces.
            embed: whether the vector of the prompt's last token is wanted instead of an answer.
            deadline: when the request is given up; None: after ``options.timeout`` from now.

        Raises:
            InvalidRequestError: a message, tool or option is wrong, or the template refuses the messages.
            UnsupportedFeatureError: the model cannot read a medium, or passes over a system message.
            ConstraintError: the constraint is malformed.
        """
        deadline = deadline or Deadline(options.timeout)
        constraint, use, answer_tool = _answer_rules(options)
        read = to_messages(messages)
        parts = media.placed_parts(read, self._info.reads)
        chat = render_checked(self._engine, to_chat_request(read, use, options), read)
        native = self._build(
            options,
            deadline,
            stream=stream,
            embed=embed,
            chat=chat,
            parts=parts,
            grammar=self._grammar(constraint, chat),
        )
        self._known.add(constraint_key(options.constraint))
        return Request(native, options.n, deadline, constraint, answer_tool, options.thinking_switch)

    def completion(
        self, prompt: str, options: CompletionOptions, *, stream: bool = False, deadline: Deadline | None = None
    ) -> Request:
        """Build a request that continues a text; see chat."""
        return self._completion(options, stream, deadline, prompt=check_text(prompt, "the prompt"))

    def infill(
        self,
        prefix: str,
        suffix: str,
        extra: InfillFiles,
        options: CompletionOptions,
        *,
        stream: bool = False,
        deadline: Deadline | None = None,
    ) -> Request:
        """Build a request that fills a gap; see chat."""
        return self._completion(options, stream, deadline, infill=_to_infill(prefix, suffix, extra))

    def render(self, messages: str | Sequence[MessageLike], options: ChatOptions) -> str:
        """Return the prompt that the template makes of a chat, with markers where media belong. Reads no media."""
        _, use, _ = _answer_rules(options)
        read = to_messages(messages)
        chat = to_chat_request(read, use, options)
        return render_checked(self._engine, chat, read).prompt

    def _completion(
        self, options: CompletionOptions, stream: bool, deadline: Deadline | None, **prompt: Any
    ) -> Request:
        deadline = deadline or Deadline(options.timeout)
        constraint = _checked(options.constraint)
        _check_end(options, has_rules=constraint is not None)
        native = self._build(options, deadline, stream=stream, grammar=self._grammar(constraint, None), **prompt)
        self._known.add(constraint_key(options.constraint))
        return Request(native, options.n, deadline, constraint)

    def _build(
        self,
        options: CompletionOptions,
        deadline: Deadline,
        *,
        stream: bool,
        grammar: str,
        embed: bool = False,
        prompt: str = "",
        infill: _native.InfillPrompt | None = None,
        chat: _native.RenderedChat | None = None,
        parts: Sequence[media.PlacedPart] = (),
    ) -> _native.GenerationRequest:
        return _native.GenerationRequest(
            sampling=to_sampling(options),
            chat=chat,
            infill=infill,
            prompt=prompt,
            media=media.load(parts, rules=self._media_rules, deadline=deadline),
            grammar=grammar,
            lora_scales=list(self._lora_scales(options.lora).values()),
            speculative=options.speculative,
            close_grammar=options.close_constraint,
            embed=embed,
            stream=stream,
            prompt_progress=options.prompt_progress,
        )

    def _grammar(self, constraint: Constraint | None, chat: _native.RenderedChat | None) -> str:
        """Return the grammar of an answer: the constraint's, after free thinking where the model is to think."""
        if constraint is None:
            return ""
        kind, grammar = constraint.grammar()
        ends = () if chat is None else tuple(chat.thinking_end_tags)
        if chat is None or not ends:
            return grammar
        if kind != "lark":
            raise UnsupportedFeatureError(
                "a GBNF grammar applies from the first token and leaves no room for thinking; "
                "pass thinking=False or write the constraint as Lark"
            )
        start = chat.thinking_start_tag
        tokens = tuple((tag, self._control_token(tag)) for tag in (start, *ends) if tag)
        return _after_thinking(grammar, start, ends, tokens)

    def _control_token(self, tag: str) -> int:
        if tag not in self._control_tokens:
            self._control_tokens[tag] = self._engine.control_token(tag)
        return self._control_tokens[tag]


class _RecentKeys:
    """The keys added last, up to a number of them. Thread-safe."""

    def __init__(self, n_max: int) -> None:
        self._lock = threading.Lock()
        self._n_max = n_max
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def has(self, key: Hashable | None) -> bool:
        with self._lock:
            return key is not None and key in self._keys

    def add(self, key: Hashable | None) -> None:
        if key is None:
            return
        with self._lock:
            self._keys[key] = None
            self._keys.move_to_end(key)
            if len(self._keys) > self._n_max:
                self._keys.popitem(last=False)


def _checked(value: Any) -> Constraint | None:
    """Return the constraint that an option means, once it is known to compile."""
    if value is None:
        return None
    constraint = to_constraint(value)
    constraint.check()
    return constraint


def _check_end(options: CompletionOptions, *, has_rules: bool) -> None:
    if options.ignore_eos and has_rules:
        raise InvalidRequestError(
            "ignore_eos cannot be used with a constraint or tools, which say where the answer ends; "
            "leave it out, or let the constraint ask for a longer answer"
        )


def _answer_rules(options: ChatOptions) -> tuple[Constraint | None, ToolUse, AnswerTool | None]:
    """Return a chat's constraint and tools. With both, a tool stands for the constraint, and is among the tools."""
    constraint = _checked(options.constraint)
    use = to_tool_use(to_tools(options.tools), options.tool_choice)
    _check_end(options, has_rules=constraint is not None or bool(use.tools and use.choice != "none"))
    answer_tool = AnswerTool.wanted_by(constraint, use)
    if answer_tool is None:
        return constraint, use, None
    return None, answer_tool.beside(use), answer_tool


@functools.lru_cache(maxsize=_N_KNOWN_CONSTRAINTS)
def _after_thinking(grammar: str, start: str, ends: tuple[str, ...], tokens: tuple[tuple[str, int], ...]) -> str:
    control = {tag: number for tag, number in tokens if number >= 0}
    return with_thinking(grammar, start or None, ends, token_ids=control)


def _to_infill(prefix: str, suffix: str, extra: InfillFiles) -> _native.InfillPrompt:
    files = []
    for entry in extra.items() if isinstance(extra, Mapping) else check_items(extra, "extra"):
        if not isinstance(entry, (tuple, list)) or len(entry) != 2 or not all(isinstance(text, str) for text in entry):
            raise InvalidRequestError(f"extra takes texts by file name, or pairs of both, got {show_value(entry)}")
        name, text = entry
        files.append(_native.InfillFile(check_text(name, "a file name"), check_text(text, f"the file {name!r}")))
    return _native.InfillPrompt(check_text(prefix, "the prefix"), check_text(suffix, "the suffix"), files)
