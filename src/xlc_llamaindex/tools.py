"""Converts LlamaIndex's tools for requests, and the tool calls of responses into selections."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection

from xlc_core import Tool
from xlc_core.frameworks import close_schema, to_tool_choice

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool
    from pydantic import BaseModel

__all__ = ["chat_with_tools_request", "tool_selections"]

logger = logging.getLogger("xllama")


def chat_with_tools_request(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    *,
    parallel: bool,
    required: bool,
    choice: str | bool | dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the arguments of ``chat`` for a chat with tools.

    Args:
        tools: the tools; with none, the request is a plain chat.
        user_msg: the last message, if it is not in the history.
        chat_history: the messages before it; not changed.
        parallel: whether one answer may hold several calls.
        required: whether the model must call some tool.
        choice: which tool, in any of the forms that ``to_tool_choice`` reads; goes over ``required``.

    Returns:
        ``messages``, and with tools ``tools``, ``tool_choice`` and ``parallel_tool_calls``.

    Raises:
        InvalidRequestError: ``choice`` names a tool that is not there.
    """
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg)
    if not tools:
        return {"messages": messages}
    described = [_engine_tool(tool) for tool in tools]
    chosen = to_tool_choice(choice, [tool.name for tool in described])
    return {
        "messages": messages,
        "tools": described,
        "tool_choice": chosen or ("required" if required else "auto"),
        "parallel_tool_calls": parallel,
    }


def _engine_tool(tool: BaseTool) -> Tool:
    arguments = tool.metadata.fn_schema
    if arguments is not None:
        _complete(arguments, tool)
        name = tool.metadata.to_openai_tool(skip_length_check=True)["function"]["name"]
        return Tool.of(arguments, name=name, description=tool.metadata.description)
    function = tool.metadata.to_openai_tool(skip_length_check=True)["function"]
    return Tool(
        name=function["name"], description=function["description"], parameters=close_schema(function["parameters"])
    )


def _complete(arguments: type[BaseModel], tool: BaseTool) -> None:
    """Look up annotations that are written as texts in the function's module, where LlamaIndex does not look."""
    function = getattr(tool, "real_fn", None) or getattr(tool, "fn", None)
    if not arguments.__pydantic_complete__ and function is not None:
        arguments.model_rebuild(_types_namespace=getattr(inspect.unwrap(function), "__globals__", {}))


def tool_selections(response: ChatResponse, *, error_on_no_tool_call: bool) -> list[ToolSelection]:
    """Return the calls of a response, or of the part of it that has been streamed.

    A call that was cut off is left out: half its arguments may mean something else.

    Raises:
        ValueError: there is no whole call and ``error_on_no_tool_call`` is set.
    """
    selections = []
    reason = ""
    for call in response.message.blocks:
        if not isinstance(call, ToolCallBlock):
            continue
        if isinstance(call.tool_kwargs, str):
            reason = (
                f" The call of {call.tool_name!r} was cut off, with the arguments {call.tool_kwargs[-80:]!r}: "
                "raise max_tokens."
            )
            logger.warning("A tool call is not made.%s", reason)
            continue
        selections.append(
            ToolSelection(tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=call.tool_kwargs)
        )
    if not selections and error_on_no_tool_call:
        raise ValueError(f"Expected at least one tool call, but got 0 tool calls.{reason}")
    return selections
