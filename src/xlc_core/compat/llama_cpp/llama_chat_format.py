"""Chat formats, as in llama-cpp-python: functions that answer a chat in another way than the engine does."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from xlc_core.compat.llama_cpp.criteria import StoppingCriteria
from xlc_core.compat.llama_cpp.llama_cpp import missing_name

__all__ = [
    "ChatFormatter",
    "ChatFormatterResponse",
    "Gemma4ChatHandler",
    "Jinja2ChatFormatter",
    "Llama3VisionAlphaChatHandler",
    "LlamaChatCompletionHandler",
    "LlamaChatCompletionHandlerNotFoundException",
    "Llava15ChatHandler",
    "Llava16ChatHandler",
    "MTMDChatHandler",
    "MiniCPMv26ChatHandler",
    "MoondreamChatHandler",
    "NanoLlavaChatHandler",
    "ObsidianChatHandler",
    "Qwen25VLChatHandler",
    "chat_formatter_to_chat_completion_handler",
    "get_chat_completion_handler",
    "hf_tokenizer_config_to_chat_completion_handler",
    "hf_tokenizer_config_to_chat_formatter",
    "register_chat_completion_handler",
    "register_chat_format",
]


def __getattr__(name: str) -> NoReturn:
    if name.startswith("format_"):
        raise AttributeError(
            f"llama_chat_format does not have {name}: the engine uses the template in the model's file. "
            "Engine.render_chat shows a chat as text, and Llama(chat_template=…) sets another template"
        )
    raise AttributeError(missing_name(name))


class LlamaChatCompletionHandler(Protocol):
    """A function that answers a chat: it gets ``llama`` and all arguments of create_chat_completion."""

    def __call__(self, *, llama: Any, messages: Any, **kwargs: Any) -> Any:
        """Return a response, or an iterator of chunks."""


class LlamaChatCompletionHandlerNotFoundException(ValueError):  # noqa: N818  # llama-cpp-python's name
    """There is no chat format of a name."""


_handlers: dict[str, LlamaChatCompletionHandler] = {}


def register_chat_completion_handler(name: str) -> Callable[[Any], Any]:
    """Return a decorator that makes a handler a chat format: ``Llama(chat_format=name)`` then uses it."""

    def register(handler: Any) -> Any:
        _handlers[name] = handler
        return handler

    return register


def get_chat_completion_handler(name: str) -> LlamaChatCompletionHandler:
    """Return the handler that was registered under a name.

    Raises:
        LlamaChatCompletionHandlerNotFoundException: no handler was.
    """
    if name not in _handlers:
        raise LlamaChatCompletionHandlerNotFoundException(
            f"no chat format {name!r} was registered; formats with a template need no handler here"
        )
    return _handlers[name]


def is_registered(name: str | None) -> bool:
    """Return whether a handler was registered under a name."""
    return name in _handlers


@dataclasses.dataclass
class ChatFormatterResponse:
    """A chat as a prompt.

    Attributes:
        prompt: the prompt.
        stop: texts that end the answer.
        stopping_criteria: functions that end the answer.
        added_special: whether the prompt has the tokens that the model needs at its start.
    """

    prompt: str
    stop: str | list[str] | None = None
    stopping_criteria: StoppingCriteria | None = None
    added_special: bool = False


class ChatFormatter(Protocol):
    """A function that makes a prompt of a chat."""

    def __call__(self, *, messages: Any, **kwargs: Any) -> ChatFormatterResponse:
        """Return the prompt."""


class Jinja2ChatFormatter:
    """Makes prompts with a template in Jinja, as transformers does. Needs the package jinja2.

    Args:
        template: the template.
        eos_token: the text of the token that ends an answer, which the template may use.
        bos_token: the text of the token that starts a prompt.
        add_generation_prompt: whether the prompt ends with the start of an answer.
        stop_token_ids: tokens that end the answer.
    """

    def __init__(
        self,
        template: str,
        eos_token: str,
        bos_token: str,
        add_generation_prompt: bool = True,
        stop_token_ids: list[int] | None = None,
    ) -> None:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.template = template
        self.eos_token = eos_token
        self.bos_token = bos_token
        self.add_generation_prompt = add_generation_prompt
        self.stop_token_ids = None if stop_token_ids is None else set(stop_token_ids)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        self._environment = environment.from_string(template)

    def __call__(self, *, messages: Any, **kwargs: Any) -> ChatFormatterResponse:
        """Return a chat as a prompt."""
        prompt = self._environment.render(
            messages=messages,
            eos_token=self.eos_token,
            bos_token=self.bos_token,
            raise_exception=_refuse,
            add_generation_prompt=self.add_generation_prompt,
            strftime_now=lambda form: datetime.datetime.now().strftime(form),
            **{"functions": None, "function_call": None, "tools": None, "tool_choice": None, **kwargs},
        )
        ends = self.stop_token_ids
        criterion = None if ends is None else lambda tokens, _scores: int(tokens[-1]) in ends
        return ChatFormatterResponse(prompt, [self.eos_token], criterion, added_special=True)

    def to_chat_handler(self) -> LlamaChatCompletionHandler:
        """Return a handler that answers chats with this template."""
        return chat_formatter_to_chat_completion_handler(self)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def register_chat_format(name: str) -> Callable[[ChatFormatter], ChatFormatter]:
    """Return a decorator that makes a formatter a chat format: ``Llama(chat_format=name)`` then uses it."""

    def register(formatter: ChatFormatter) -> ChatFormatter:
        _handlers[name] = chat_formatter_to_chat_completion_handler(formatter)
        return formatter

    return register


def chat_formatter_to_chat_completion_handler(chat_formatter: ChatFormatter) -> LlamaChatCompletionHandler:
    """Return a handler that makes a prompt of a chat and completes it. Answers are texts, without calls of tools."""

    def handler(*, llama: Any, messages: Any, **kwargs: Any) -> Any:
        from xlc_core.compat.llama_cpp.answering import complete_formatted

        request = {name: kwargs.pop(name, None) for name in ("functions", "function_call", "tools", "tool_choice")}
        if request["tool_choice"] or request["function_call"]:
            raise NotImplementedError("a chat formatter cannot force a call of a tool; leave chat_handler out")
        made = chat_formatter(messages=messages, **request)
        return complete_formatted(llama, made, kwargs)

    return handler


def hf_tokenizer_config_to_chat_formatter(
    tokenizer_config: dict[str, Any], add_generation_prompt: bool = True
) -> ChatFormatter:
    """Return the formatter of a ``tokenizer_config.json``.

    Args:
        tokenizer_config: the file's content.
        add_generation_prompt: whether chats end with an assistant's message without content.

    Raises:
        ValueError: it lacks the template or one of the tokens.
    """
    missing = [name for name in ("chat_template", "bos_token", "eos_token") if not tokenizer_config.get(name)]
    if missing:
        raise ValueError(f"the tokenizer's configuration has no {', '.join(missing)}")
    bos, eos = tokenizer_config["bos_token"], tokenizer_config["eos_token"]
    formatter = Jinja2ChatFormatter(tokenizer_config["chat_template"], eos, bos, add_generation_prompt=False)
    opened = [{"role": "assistant", "content": ""}] if add_generation_prompt else []

    def format_chat(*, messages: Any, **kwargs: Any) -> ChatFormatterResponse:
        made = formatter(messages=[*messages, *opened], **kwargs)
        return ChatFormatterResponse(made.prompt, [eos, bos], added_special=True)

    return format_chat


def hf_tokenizer_config_to_chat_completion_handler(
    tokenizer_config: dict[str, Any], add_generation_prompt: bool = True
) -> LlamaChatCompletionHandler:
    """Return a handler that uses the template of a ``tokenizer_config.json``."""
    return chat_formatter_to_chat_completion_handler(
        hf_tokenizer_config_to_chat_formatter(tokenizer_config, add_generation_prompt)
    )


class MTMDChatHandler:
    """A projector that lets the model read images. The engine reads them as the model's own template says.

    Args:
        clip_model_path: path of the projector's GGUF file.
        verbose: has no effect.
        **kwargs: have no effect: the template decides.
    """

    def __init__(self, clip_model_path: str, verbose: bool = True, **kwargs: Any) -> None:
        self.clip_model_path = clip_model_path


Gemma4ChatHandler = Llava15ChatHandler = Llava16ChatHandler = MoondreamChatHandler = MTMDChatHandler
ObsidianChatHandler = NanoLlavaChatHandler = Llama3VisionAlphaChatHandler = MTMDChatHandler
MiniCPMv26ChatHandler = Qwen25VLChatHandler = MTMDChatHandler
