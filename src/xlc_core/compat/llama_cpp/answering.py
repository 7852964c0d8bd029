"""Requests for text, from llama-cpp-python's arguments to its responses."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xlc_core.compat.llama_cpp.criteria import StoppingCriteria, StoppingCriteriaList
from xlc_core.compat.llama_cpp.responses import chat_chunks, chat_response, completion_chunks, completion_response
from xlc_core.compat.llama_cpp.sampling import sampling_options, to_stops
from xlc_core.compat.llama_cpp.stepping import Prompt, TokenSource, assembled
from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.json_constraints import JsonSchema
from xlc_core.errors import ContextOverflowError, UnsupportedFeatureError
from xlc_core.events import Event, Finished
from xlc_core.frameworks import read_response_format
from xlc_core.generation.streams import EventStream
from xlc_core.results import Completion

if TYPE_CHECKING:
    from xlc_core.compat.llama_cpp.llama import Llama
    from xlc_core.compat.llama_cpp.llama_chat_format import ChatFormatterResponse

__all__ = ["chat", "complete", "complete_formatted", "token_source"]

Given = Mapping[str, Any]


@contextlib.contextmanager
def _original_words() -> Iterator[None]:
    """Put llama-cpp-python's words, which programs look for, before those of an error."""
    try:
        yield
    except ContextOverflowError as error:
        n, n_ctx = error.n_prompt_tokens, error.n_ctx
        text = f"Requested tokens ({n}) exceed context window of {n_ctx}: {error}"
        raise ContextOverflowError(text, n, n_ctx) from None


def _in_original_words(events: Iterator[Event]) -> Generator[Event, None, None]:
    with _original_words():
        yield from events


def _options(llama: Llama, given: Given, n_logprobs: int | None) -> dict[str, Any]:
    options = sampling_options(given, repeat_last_n=llama.repeat_last_n)
    if n_logprobs is not None:
        options["logprobs"] = max(1, n_logprobs)  # 0 would be none at all
    return {**options, **llama.seed_options(given["seed"], is_random=options["temperature"] != 0)}


# Completions


def to_prompt(llama: Llama, prompt: str | list[int]) -> Prompt:
    """Return a prompt as text and as tokens.

    Raises:
        UnsupportedFeatureError: no text is read as these tokens.
    """
    if isinstance(prompt, str) and not llama.has_own_tokenizer:
        text = prompt
        if not prompt and not llama.vocabulary.adds_bos:  # an answer needs something before it
            text = llama.vocabulary.detokenize([llama.vocabulary.bos], special=True).decode()
        return Prompt(text, llama.engine.tokenize(text, add_special=True, parse_special=True))
    tokens = llama.tokenize(prompt.encode(), special=True) if isinstance(prompt, str) else [int(n) for n in prompt]
    text_or_none = llama.vocabulary.prompt_text(tokens)
    if text_or_none is None:
        raise UnsupportedFeatureError(
            "the engine takes a prompt as text, and there is no text that this model's tokenizer reads as these "
            "tokens; pass the prompt as text, or the tokens that Llama.tokenize returns for it"
        )
    return Prompt(text_or_none, tokens)


def token_source(llama: Llama, prompt: str | list[int], options: dict[str, Any], processors: Any) -> TokenSource:
    """Return the tokens of an answer, one by one."""
    return TokenSource(llama.engine, llama.vocabulary, to_prompt(llama, prompt), options, processors)


def _events(
    llama: Llama, prompt: str | list[int], options: dict[str, Any], given: Given
) -> EventStream | Iterator[Event]:
    """Start the answer to a prompt."""
    processors, criteria = given.get("logits_processor"), _criteria(given.get("stopping_criteria"))
    if processors is None and criteria is None:
        return llama.engine.stream_complete(to_prompt(llama, prompt).text, **options)
    own = {name: value for name, value in options.items() if name != "stop"}
    source = token_source(llama, prompt, own, processors)
    return assembled(source, options["stop"], criteria, llama.engine.info.name)


def _criteria(criteria: Any) -> StoppingCriteria | None:
    return StoppingCriteriaList(criteria) if isinstance(criteria, list) else criteria


def _result(events: EventStream | Iterator[Event]) -> Completion:
    for event in events:
        if isinstance(event, Finished):
            return event.completion
    raise AssertionError("a stream ends with Finished")  # pragma: no cover


def complete(llama: Llama, given: Given) -> dict[str, Any] | Iterator[dict[str, Any]]:
    """Return the response to create_completion, or its chunks."""
    prompt, suffix, n_logprobs = given["prompt"], given["suffix"], given["logprobs"]
    model = given["model"] or llama.model_path
    echoed = prompt if given["echo"] and isinstance(prompt, str) else ""
    if given["echo"] and n_logprobs is not None:
        raise NotImplementedError("echo cannot be combined with logprobs: a prompt's tokens have no probabilities here")
    options = _options(llama, given, n_logprobs)
    with _original_words():
        if suffix is None:
            events = _events(llama, prompt, options, given)
        else:
            _refuse_functions(given, "suffix")
            events = llama.engine.stream_infill(prompt, suffix, **options)
        how = {"n_logprobs": n_logprobs, "offset": len(prompt)}
        if given["stream"]:
            return completion_chunks(_in_original_words(iter(events)), model, **how)
        return completion_response(_result(events), model, echoed=echoed, **how)


def _refuse_functions(given: Given, name: str) -> None:
    for function in ("logits_processor", "stopping_criteria"):
        if given.get(function) is not None:
            raise NotImplementedError(f"{function} cannot be combined with {name}; leave one of them out")


# Chats


def chat(llama: Llama, given: Given) -> dict[str, Any] | Iterator[dict[str, Any]]:
    """Return the response to create_chat_completion, or its chunks."""
    n_logprobs = (given["top_logprobs"] or 0) if given["logprobs"] else None
    options = {**_options(llama, given, n_logprobs), **_format_options(given), **_tool_options(given)}
    if "constraint" in options:  # then all of the text must match, and thinking is apart
        options["reasoning_format"] = "deepseek"
    model = given["model"] or llama.model_path
    how: dict[str, Any] = {"n_logprobs": n_logprobs, "is_legacy": given["functions"] is not None}
    with _original_words():
        if given["logits_processor"] is not None:
            events: EventStream | Iterator[Event] = _processed_chat(llama, options, given)
        elif given["stream"]:
            events = llama.engine.stream_chat(given["messages"], **options)
        else:
            return chat_response(llama.engine.chat(given["messages"], **options), model, **how)
        if given["stream"]:
            return chat_chunks(_in_original_words(iter(events)), model, **how)
        return chat_response(_result(events), model, **how)


def _processed_chat(llama: Llama, options: dict[str, Any], given: Given) -> Iterator[Event]:
    if options.get("tools"):
        raise NotImplementedError("logits_processor cannot be combined with tools; leave one of them out")
    prompt = llama.engine.render_chat(given["messages"])
    if llama.vocabulary.adds_bos:  # the engine adds it again
        bos = llama.vocabulary.detokenize([llama.vocabulary.bos], special=True).decode()
        prompt = prompt.removeprefix(bos)
    return iter(_events(llama, prompt, options, given))


def _format_options(given: Given) -> dict[str, Any]:
    form = given["response_format"]
    constraint: Constraint | None = None
    if form is not None:
        is_short = form.get("type") == "json_object" and form.get("schema")  # llama-cpp-python's own form
        constraint = JsonSchema(form["schema"]) if is_short else read_response_format(form)
    return {} if constraint is None else {"constraint": constraint}


def _tool_options(given: Given) -> dict[str, Any]:
    tools, choice = given["tools"], given["tool_choice"]
    if given["functions"] is not None:
        tools = [{"type": "function", "function": function} for function in given["functions"]]
    if given["function_call"] is not None:
        choice = given["function_call"]
    return {"tools": tools, "tool_choice": choice} if tools else {}


def complete_formatted(
    llama: Llama, made: ChatFormatterResponse, given: Given
) -> dict[str, Any] | Iterator[dict[str, Any]]:
    """Return the response to a chat that a formatter has made a prompt of, or its chunks."""
    defaults = inspect.signature(llama.create_chat_completion).parameters
    given = {**{name: parameter.default for name, parameter in defaults.items()}, **given}
    n_logprobs = (given["top_logprobs"] or 0) if given["logprobs"] else None
    stops = [*to_stops(given["stop"]), *to_stops(made.stop)]
    options = {**_options(llama, {**given, "stop": stops}, n_logprobs), **_format_options(given)}
    tokens = llama.tokenize(made.prompt.encode(), add_bos=not made.added_special, special=True)
    model = given["model"] or llama.model_path
    how: dict[str, Any] = {"n_logprobs": n_logprobs, "is_legacy": False}
    with _original_words():
        events = _events(llama, tokens, options, {**given, "stopping_criteria": made.stopping_criteria})
        if given["stream"]:
            return chat_chunks(_in_original_words(iter(events)), model, **how)
        return chat_response(_result(events), model, **how)
