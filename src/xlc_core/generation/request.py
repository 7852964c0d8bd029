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
from xlc_core.constraints import lark_text
from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.conversion import constraint_key, to_constraint
from xlc_core.constraints.lark_text import with_thinking
from xlc_core.constraints.text_constraints import Lark
from xlc_core.constraints.tool_arguments import ToolArguments, tool_arguments
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError
from xlc_core.generation import media
from xlc_core.generation.answer_tool import AnswerTool
from xlc_core.generation.call_grammar import CallGrammar, call_grammar
from xlc_core.generation.conversion import to_chat_request, to_parameters, to_sampling, to_tools
from xlc_core.generation.message_reading import MessageLike, to_messages
from xlc_core.generation.off_loop import is_long
from xlc_core.generation.template_checks import ChatRenderer
from xlc_core.generation.tool_choice import ToolUse, to_tool_use
from xlc_core.messages import Message
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
        self._renderer = ChatRenderer(engine)
        self._info = info
        self._media_rules = media_rules
        self._lora_scales = lora_scales
        self._tags: dict[str, str] = {}
        self._known = _RecentKeys(_N_KNOWN_CONSTRAINTS)
        self._known_calls = functools.lru_cache(maxsize=_N_KNOWN_CONSTRAINTS)(self._write_calls)

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
        is_part: bool = False,
        deadline: Deadline | None = None,
    ) -> Request:
        """Build a request that answers a chat, or embeds it.

        Args:
            messages: the chat.
            options: of the request.
            stream: whether the answer comes in pieces.
            embed: whether the vector of the prompt's last token is wanted instead of an answer.
            is_part: whether it is a part of a chat that is only counted, so that no answer follows it.
            deadline: when the request is given up; None: after ``options.timeout`` from now.

        Raises:
            InvalidRequestError: a message, tool or option is wrong, or the template refuses the messages.
            UnsupportedFeatureError: the model cannot read a medium, or passes over a system message.
            ConstraintError: the constraint is malformed.
        """
        deadline = deadline or Deadline(options.timeout)
        rules = _answer_rules(options)
        read = media.without_unreadable(to_messages(messages, is_part=is_part), self._info.reads)
        media.placed_parts(read, self._info.reads)
        chat, shown = self._render(read, rules, options, is_part=is_part)
        parts = media.placed_parts(shown, self._info.reads)
        grammar = self._call_grammar(rules, chat) if rules.use.may_call else self._grammar(rules.constraint, chat)
        native = self._build(options, deadline, stream=stream, embed=embed, chat=chat, parts=parts, grammar=grammar)
        self._known.add(constraint_key(options.constraint))
        return Request(native, options.n, deadline, rules.constraint, rules.answer_tool, options.thinking_switch)

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
        rules = _answer_rules(options)
        read = media.without_unreadable(to_messages(messages, is_part=True), self._info.reads)
        return self._render(read, rules, options, is_part=True)[0].prompt

    def _render(
        self, messages: Sequence[Message], rules: _AnswerRules, options: ChatOptions, *, is_part: bool
    ) -> tuple[_native.RenderedChat, Sequence[Message]]:
        def build(form: Sequence[Message]) -> _native.ChatRequest:
            return to_chat_request(form, rules.use, options, rules.arguments, is_part=is_part)

        return self._renderer.render(messages, build)

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
        grammar: _Grammar,
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
            parse_special=options.parse_special is not False,
            media=media.load(parts, rules=self._media_rules, deadline=deadline),
            grammar=grammar.text,
            grammar_waits=grammar.waits,
            grammar_trigger=grammar.trigger,
            text_ends=grammar.text_ends,
            call_openings=grammar.call_openings,
            lora_scales=list(self._lora_scales(options.lora).values()),
            speculative=options.speculative,
            close_grammar=options.close_constraint,
            embed=embed,
            stream=stream,
            prompt_progress=options.prompt_progress,
        )

    def _grammar(self, constraint: Constraint | None, chat: _native.RenderedChat | None) -> _Grammar:
        """Return the grammar of an answer: the constraint's, after free thinking where the model is to think."""
        if constraint is None:
            return _Grammar("")
        kind, grammar = constraint.grammar()
        if kind != "lark" and chat is not None and chat.thinking_end_tags:
            raise UnsupportedFeatureError(
                "a GBNF grammar applies from the first token and leaves no room for thinking; "
                "pass thinking=False or write the constraint as Lark"
            )
        text_ends = constraint.text_ends if isinstance(constraint, Lark) else ()
        return _Grammar(grammar if chat is None else self._after_thinking(grammar, chat), text_ends=text_ends)

    def _call_grammar(self, rules: _AnswerRules, chat: _native.RenderedChat) -> _Grammar:
        """Return the grammar of calls. If the model chooses whether to call, it applies from the first call."""
        calls = self._known_calls(chat.call_parser, rules.arguments, chat.parallel_calls)
        if not calls.text:
            if rules.use.choice == "required":
                raise UnsupportedFeatureError(
                    "a call cannot be required of this model, because llama.cpp does not know how its chat template "
                    "writes calls; open the engine with another chat_template"
                )
            return _Grammar("")
        if rules.use.choice == "required":
            text = calls.text
            if calls.thinks:
                text = self._after_thinking(text, chat, calls.bridge, calls.ends_thinking)
            return _Grammar(text, text_ends=calls.text_ends)
        trigger = "" if chat.waits_for_calls else calls.opening
        return _Grammar(calls.text, True, trigger, calls.text_ends, calls.ends_thinking)

    def _after_thinking(
        self, grammar: str, chat: _native.RenderedChat, bridge: str = "XLC_GAP?", without: tuple[str, ...] = ()
    ) -> str:
        ends = tuple(tag for tag in chat.thinking_end_tags if tag not in without)
        if not ends or (not chat.thinking_start_tag and chat.prompt.rstrip().endswith(ends)):
            return grammar  # the model does not think, or the prompt has closed the thinking
        start = chat.thinking_start_tag
        tags = tuple((tag, self._tag(tag)) for tag in (start, *ends) if tag)
        return _after_thinking(grammar, start, ends, tags, bridge, without)

    def _write_calls(
        self, parser: tuple[int, tuple[tuple[Any, ...], ...]], arguments: tuple[ToolArguments, ...], parallel: bool
    ) -> CallGrammar:
        return call_grammar(parser, arguments, self._engine.cut_at_control_tokens, parallel=parallel)

    def _tag(self, tag: str) -> str:
        """Return a tag as Lark if it begins with a control token, else an empty text."""
        if tag not in self._tags:
            pieces = self._engine.cut_at_control_tokens(tag)
            self._tags[tag] = lark_text.literal(pieces) if pieces[0][1] >= 0 else ""
        return self._tags[tag]


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


@dataclass(frozen=True)
class _Grammar:
    """A grammar of an answer; ``waits`` if it begins at a trigger: this one, or the template's own.

    ``text_ends`` end a plain text in it, and ``call_openings`` the thinking before it.
    """

    text: str
    waits: bool = False
    trigger: str = ""
    text_ends: tuple[str, ...] = ()
    call_openings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _AnswerRules:
    """A chat's constraint, or its tools and their arguments. With both, a tool stands for the constraint."""

    constraint: Constraint | None
    use: ToolUse
    answer_tool: AnswerTool | None
    arguments: tuple[ToolArguments, ...]


def _answer_rules(options: ChatOptions) -> _AnswerRules:
    constraint = _checked(options.constraint)
    use = to_tool_use(to_tools(options.tools), options.tool_choice)
    _check_end(options, has_rules=constraint is not None or use.may_call)
    answer_tool = AnswerTool.wanted_by(constraint, use)
    if answer_tool is not None:
        use = answer_tool.beside(use)
    elif use.may_call and constraint is not None:
        raise InvalidRequestError(
            "a constraint and tools cannot both shape one answer; pass tool_choice='none' or leave one of them out"
        )
    arguments = tuple(
        tool_arguments(tool.name, to_parameters(tool), is_type=tool.is_type)
        for tool in (use.tools if use.may_call else ())
    )
    return _AnswerRules(None if answer_tool else constraint, use, answer_tool, arguments)


@functools.lru_cache(maxsize=_N_KNOWN_CONSTRAINTS)
def _after_thinking(
    grammar: str,
    start: str,
    ends: tuple[str, ...],
    tags: tuple[tuple[str, str], ...],
    bridge: str,
    without: tuple[str, ...],
) -> str:
    written = {tag: text for tag, text in tags if text}
    return with_thinking(grammar, start or None, ends, token_ids=written, bridge=bridge, without=without)


def _to_infill(prefix: str, suffix: str, extra: InfillFiles) -> _native.InfillPrompt:
    files = []
    for entry in extra.items() if isinstance(extra, Mapping) else check_items(extra, "extra"):
        if not isinstance(entry, (tuple, list)) or len(entry) != 2 or not all(isinstance(text, str) for text in entry):
            raise InvalidRequestError(f"extra takes texts by file name, or pairs of both, got {show_value(entry)}")
        name, text = entry
        files.append(_native.InfillFile(check_text(name, "a file name"), check_text(text, f"the file {name!r}")))
    return _native.InfillPrompt(check_text(prefix, "the prefix"), check_text(suffix, "the suffix"), files)
