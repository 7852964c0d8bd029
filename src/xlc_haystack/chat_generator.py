"""XllamaChatGenerator: a GGUF chat model inside this process, as a chat generator of Haystack."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import ChatMessage, StreamingCallbackT, select_streaming_callback
from haystack.tools import (
    ToolsType,
    deserialize_tools_or_toolset_inplace,
    flatten_tools_or_toolsets,
    serialize_tools_or_toolset,
)
from haystack.utils import deserialize_callable, serialize_callable
from pydantic import TypeAdapter

from xlc_core import ChatKwargs, Engine, Message
from xlc_core.frameworks import HeldChat, read_openai_options, require_single_answer
from xlc_haystack.held_component import HeldComponent
from xlc_haystack.messages import ChunkWriter, to_engine_messages, to_replies

__all__ = ["XllamaChatGenerator"]


@component
class XllamaChatGenerator(HeldComponent):
    """A chat model that llama.cpp runs inside this process: no server, no port.

    Building one loads nothing; ``warm_up`` or the first ``run`` does. ``response_format`` and the arguments of tools
    are enforced while tokens are sampled, so that a whole answer always parses. Cancelling ``run_async``, or an error
    in a streaming callback, stops the generation.

    Examples:
        >>> generator = XllamaChatGenerator("smollm2-135m-instruct", generation_kwargs={"temperature": 0})
        >>> generator.run([ChatMessage.from_user("Name a colour.")])["replies"][0].text
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: Engine | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        streaming_callback: StreamingCallbackT | None = None,
        tools: ToolsType | None = None,
        **fields: Any,
    ) -> None:
        """Describe a model, which is loaded on first use and shared in this process.

        Args:
            model: path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the value of
                ``$XLLAMA_MODEL``.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            generation_kwargs: options of every request: fields of ``xlc_core.ChatOptions``, or OpenAI's names such as
                ``response_format``; None: none.
            streaming_callback: gets each chunk of an answer; None: answers come whole.
            tools: tools that the model may call; None: none.
            **fields: further fields of ``xlc_core.frameworks.HeldChat``, such as ``n_ctx`` and ``engine_options``.
        """
        self._held: HeldChat = HeldChat(model=model, engine=engine, **fields)
        self.generation_kwargs = generation_kwargs or {}
        self.streaming_callback = streaming_callback
        self.tools = tools

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration; an open engine becomes its model's name and options."""
        callback = self.streaming_callback
        described = default_to_dict(
            self,
            **self._held.model_dump(exclude_defaults=True),
            generation_kwargs=_as_data(self.generation_kwargs),
            streaming_callback=serialize_callable(callback) if callback else None,
            tools=serialize_tools_or_toolset(self.tools),
        )
        return cast("dict[str, Any]", described)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> XllamaChatGenerator:
        """Return the component that ``to_dict`` has described.

        Args:
            data: what ``to_dict`` returned; it is changed.
        """
        parameters = data["init_parameters"]
        deserialize_tools_or_toolset_inplace(parameters, key="tools")
        if callback := parameters.get("streaming_callback"):
            parameters["streaming_callback"] = deserialize_callable(callback)
        return cast("XllamaChatGenerator", default_from_dict(cls, data))

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Answer a chat.

        Args:
            messages: the chat, or one user's text.
            streaming_callback: gets each chunk; None: the component's own.
            generation_kwargs: options that override those of the component; None: none.
            tools: tools that the model may call; None: the component's own.

        Returns:
            ``replies``: the answer, with the tokens in ``meta``; several with ``n``.

        Raises:
            XllamaError: the errors of ``xlc_core.Engine.chat``, and those of loading.
        """
        callback = select_streaming_callback(self.streaming_callback, streaming_callback, requires_async=False)
        chat, options = self._request(messages, generation_kwargs, tools, is_stream=callback is not None)
        if not chat:
            return {"replies": []}
        engine = self._held.get_engine()
        if callback is None:
            return {"replies": to_replies(engine.chat(chat, **options))}
        writer = ChunkWriter(self)
        with engine.stream_chat(chat, **options) as events:
            for event in events:
                if (chunk := writer.write(event)) is not None:
                    callback(chunk)
            return {"replies": to_replies(events.result())}

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Answer a chat without blocking the event loop; as run."""
        callback = select_streaming_callback(self.streaming_callback, streaming_callback, requires_async=True)
        chat, options = self._request(messages, generation_kwargs, tools, is_stream=callback is not None)
        if not chat:
            return {"replies": []}
        engine = await self._held.aget_engine()
        if callback is None:
            return {"replies": to_replies(await engine.achat(chat, **options))}
        writer = ChunkWriter(self)
        async with engine.astream_chat(chat, **options) as events:
            async for event in events:
                chunk = writer.write(event)
                if chunk is not None and (waiting := callback(chunk)) is not None:
                    await waiting
            return {"replies": to_replies(await events.result())}

    def _request(
        self,
        messages: list[ChatMessage] | str,
        generation_kwargs: dict[str, Any] | None,
        tools: ToolsType | None,
        *,
        is_stream: bool,
    ) -> tuple[list[Message], ChatKwargs]:
        """Return the messages and the options of ``Engine.chat``."""
        call = read_openai_options({**self.generation_kwargs, **(generation_kwargs or {})})
        given = flatten_tools_or_toolsets(self.tools if tools is None else tools)
        if given:
            call["tools"] = [tool.tool_spec for tool in given]
        options = self._held.join_options(call)
        return to_engine_messages(messages), require_single_answer(options) if is_stream else options


def _as_data(generation_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return options that can be written out: a type of ``response_format`` becomes its JSON schema."""
    wanted = generation_kwargs.get("response_format")
    if not isinstance(wanted, type):
        return generation_kwargs
    described = {"name": wanted.__name__, "schema": TypeAdapter(wanted).json_schema()}
    return {**generation_kwargs, "response_format": {"type": "json_schema", "json_schema": described}}
