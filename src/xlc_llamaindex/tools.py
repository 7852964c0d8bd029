"""LlamaIndex's tools into what a request carries, and a response's tool calls into selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection

from xlc_core.tool_choice import to_tool_choice

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

__all__ = ["chat_with_tools_request", "tool_selections"]


def chat_with_tools_request(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    *,
    parallel: bool,
    required: bool,
    choice: str | bool | dict[str, Any] | None,
) -> dict[str, Any]:
    """Lay out the arguments of ``chat`` for a chat with tools.

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
    described = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
    chosen = to_tool_choice(choice, [tool["function"]["name"] for tool in described])
    return {
        "messages": messages,
        "tools": described,
        "tool_choice": chosen or ("required" if required else "auto"),
        "parallel_tool_calls": parallel,
    }


def tool_selections(response: ChatResponse, *, error_on_no_tool_call: bool) -> list[ToolSelection]:
    """Read the calls of a response, or of the part of it that a stream has brought so far.

    Raises:
        ValueError: there is no call and ``error_on_no_tool_call`` is set; or a call was cut off, so that its
            arguments are not whole.
    """
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if not calls and error_on_no_tool_call:
        raise ValueError(f"Expected at least one tool call, but got {len(calls)} tool calls.")
    for call in calls:
        if isinstance(call.tool_kwargs, str):
            raise ValueError(
                f"the arguments of the call of {call.tool_name!r} are no whole JSON object, got "
                f"{call.tool_kwargs[-80:]!r}; the answer was cut off: raise max_tokens"
            )
    return [
        ToolSelection(tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=call.tool_kwargs)
        for call in calls
    ]
