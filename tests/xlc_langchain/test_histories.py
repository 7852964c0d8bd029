"""A chat goes on in LangChain after other providers, broken streams, failed parses and memories that were cut."""

from __future__ import annotations

import base64
import warnings
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
    messages_from_dict,
    messages_to_dict,
    trim_messages,
)
from langchain_core.tools import tool

from xlc_core import InvalidRequestError, Message, ToolCall
from xlc_langchain import ChatXLlama
from xlc_langchain.messages import to_engine_messages

USER = HumanMessage("Search for cats.")
LAST = HumanMessage("Never mind. Hello?")
PIXEL = base64.b64encode(b"a picture").decode()


@tool
def search(query: str) -> str:
    """Search the web."""
    return query


def middle(*messages: BaseMessage) -> list[Message]:
    """Convert messages that are not the last of their chat."""
    return to_engine_messages([*messages, LAST])[:-1]


# Streams and parses that broke off


def partial_call(text: str) -> AIMessageChunk:
    """Return the sum of a stream's chunks up to these arguments."""
    first = AIMessageChunk(
        "", tool_call_chunks=[{"name": "search", "args": "", "id": "1", "index": 0, "type": "tool_call_chunk"}]
    )
    pieces = [
        AIMessageChunk(
            "", tool_call_chunks=[{"name": None, "args": piece, "id": None, "index": 0, "type": "tool_call_chunk"}]
        )
        for piece in text
    ]
    total = first
    for piece in pieces:
        total = total + piece
    return total


@pytest.mark.parametrize("text", ["", "{", '{"query', '{"query": "cats in', '{"query": "cats"}', "no JSON"])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("form", ["chunk", "message", "stored"])
def test_stream_that_broke_off_within_a_call(llm: ChatXLlama, text: str, answered: bool, form: str) -> None:
    partial: BaseMessage = partial_call(text)
    if form != "chunk":
        partial = message_chunk_to_message(partial)
    if form == "stored":
        (partial,) = messages_from_dict(messages_to_dict([partial]))
    result = [ToolMessage("stopped by the user", tool_call_id="1")] if answered else []
    chat = [USER, partial, *result, LAST]
    assert [call.name for message in to_engine_messages(chat) for call in message.tool_calls] == ["search"]
    for model in (llm, llm.bind_tools([search])):
        assert model.invoke(chat, max_tokens=2)


def test_real_stream_that_is_left_at_every_chunk(llm: ChatXLlama) -> None:
    bound = llm.bind_tools([search], tool_choice="search")
    partial: Any = None
    for chunk in bound.stream([USER], max_tokens=30):
        partial = chunk if partial is None else partial + chunk
        assert llm.get_num_tokens_from_messages([USER, partial, LAST]) > 0


def test_call_that_could_not_be_parsed_and_has_no_name(llm: ChatXLlama) -> None:
    broken = {"type": "invalid_tool_call", "name": None, "args": "{", "id": None, "error": "cut"}
    with pytest.warns(UserWarning, match="calls that do not name a tool are left out"):
        assert middle(AIMessage("Hm", invalid_tool_calls=[broken])) == [Message(role="assistant", content="Hm")]


# Blocks of providers, as their packages leave them in content

ANTHROPIC = AIMessage(
    [
        {"type": "thinking", "thinking": "Search.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "I look. "},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "cats"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"type": "web_search_result"}]},
        {"type": "text", "text": "Cats ", "citations": [{"type": "web_search_result_location", "cited_text": "x"}]},
        {"type": "text", "text": "sleep."},
        {"type": "tool_use", "id": "1", "name": "search", "input": {"query": "cats"}, "caller": {"type": "direct"}},
    ],
    tool_calls=[{"name": "search", "args": {"query": "cats"}, "id": "1"}],
    response_metadata={"model_provider": "anthropic", "stop_reason": "tool_use"},
    usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
)
OPENAI_RESPONSES = AIMessage(
    [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Search."}],
            "encrypted_content": "x",
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {
            "type": "text",
            "text": "I look. Cats sleep.",
            "annotations": [{"type": "url_citation", "url": "x"}],
            "id": "msg_1",
        },
        {"type": "function_call", "name": "search", "arguments": '{"query": "cats"}', "call_id": "1", "id": "fc_1"},
    ],
    tool_calls=[{"name": "search", "args": {"query": "cats"}, "id": "1"}],
    response_metadata={"model_provider": "openai", "id": "resp_1"},
)
GOOGLE = AIMessage(
    [
        {"type": "thinking", "thinking": "Search.", "signature": "c2ln"},
        {"type": "executable_code", "executable_code": "print(1)", "language": "PYTHON"},
        {"type": "code_execution_result", "code_execution_result": "1", "outcome": 1},
        {"type": "text", "text": "I look. Cats sleep.", "extras": {"signature": "c2ln"}},
    ],
    tool_calls=[{"name": "search", "args": {"query": "cats"}, "id": "1"}],
    additional_kwargs={"function_call": {"name": "search", "arguments": '{"query": "cats"}'}},
    response_metadata={"model_provider": "google_genai", "safety_ratings": []},
)
BEDROCK = AIMessage(
    [
        {"type": "reasoning_content", "reasoning_content": {"text": "Search.", "signature": "c2ln"}},
        {"type": "text", "text": "I look. Cats sleep."},
        {"type": "tool_use", "id": "1", "name": "search", "input": {"query": "cats"}},
        {"cachePoint": {"type": "default"}},
    ],
    tool_calls=[{"name": "search", "args": {"query": "cats"}, "id": "1"}],
    response_metadata={"model_provider": "bedrock_converse"},
)
STANDARD = AIMessage(
    [
        {"type": "reasoning", "reasoning": "Search.", "id": "lc_1", "extras": {"signature": "c2ln"}},
        {"type": "server_tool_call", "id": "srv_1", "name": "web_search", "args": {"query": "cats"}},
        {"type": "server_tool_result", "tool_call_id": "srv_1", "status": "success", "output": "…"},
        {"type": "text", "text": "I look. Cats sleep.", "annotations": [{"type": "citation", "url": "x"}]},
        {"type": "tool_call", "name": "search", "args": {"query": "cats"}, "id": "1"},
    ],
    response_metadata={"output_version": "v1"},
)


@pytest.mark.parametrize(
    "message",
    [ANTHROPIC, OPENAI_RESPONSES, GOOGLE, BEDROCK, STANDARD],
    ids=["anthropic", "openai responses", "google", "bedrock", "standard"],
)
def test_answer_of_another_provider(llm: ChatXLlama, message: AIMessage) -> None:
    expected = Message(
        role="assistant",
        content="I look. Cats sleep.",
        reasoning="Search.",
        tool_calls=(ToolCall(id="1", name="search", arguments='{"query": "cats"}'),),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert middle(message) == [expected]
        (stored,) = messages_from_dict(messages_to_dict([message]))
        assert middle(stored) == [expected]
        chat = [USER, message, ToolMessage("cats", tool_call_id="1"), LAST]
        assert llm.bind_tools([search]).invoke(chat, max_tokens=2)
        assert llm.get_num_tokens_from_messages(chat[:2]) > 0


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"refusal": "I will not."}, Message(role="assistant", content="I will not.")),
        ({"refusal": None, "audio": None}, Message(role="assistant")),
        ({"audio": {"id": "a", "transcript": "Cats."}}, Message(role="assistant", content="Cats.")),
        ({"reasoning_content": "Hm"}, Message(role="assistant", reasoning="Hm")),
        (
            {"reasoning": {"summary": [{"type": "summary_text", "text": "Hm"}]}},
            Message(role="assistant", reasoning="Hm"),
        ),
        ({"citations": ["x"], "tool_outputs": [{"type": "web_search_call"}]}, Message(role="assistant")),
    ],
)
def test_what_packages_keep_beside_the_content(kwargs: dict[str, Any], expected: Message) -> None:
    assert middle(AIMessage("", additional_kwargs=kwargs)) == [expected]


@pytest.mark.parametrize(
    "content", [[], [""], ["a", "b"], [{"type": "text", "text": "ab"}], ["a", {"type": "text", "text": "b"}]]
)
def test_lists_of_texts(content: list[Any]) -> None:
    text = "ab" if any(content) else ""
    assert middle(AIMessage(content)) == [Message(role="assistant", content=text)]
    (user,) = middle(HumanMessage(content))
    assert (user.content if isinstance(user.content, str) else "".join(part.text for part in user.content)) == text  # type: ignore[union-attr]


def test_answer_passed_on_as_a_users_message() -> None:
    """Programs of several agents hand an answer to the next agent so."""
    with pytest.warns(UserWarning, match="are left out") as caught:
        (message,) = [one for one in middle(HumanMessage(ANTHROPIC.content)) if one.role == "user"]
    assert "Cats " in str(message.content)
    assert len({str(warning.message) for warning in caught}) == len(caught)


def test_results_of_tools_in_all_forms() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    for content in ("ok", ["ok"], [{"type": "text", "text": "ok"}], [{"type": "input_text", "text": "ok"}]):
        assert middle(ToolMessage(content, tool_call_id="1")) == [Message(role="tool", content="ok", tool_call_id="1")]
    (message,) = middle(ToolMessage(["ok", image], tool_call_id="1"))
    assert len(message.content) == 2


def test_roles_of_generic_messages() -> None:
    chat = [ChatMessage("a", role="model"), ChatMessage("b", role="tool"), ChatMessage("c", role="function")]
    assert [message.role for message in middle(*chat)] == ["assistant", "tool", "tool"]


def test_reference_to_a_file_blocks_only_its_own_turn(llm: ChatXLlama) -> None:
    message = HumanMessage([{"type": "text", "text": "See"}, {"type": "file", "file_id": "file-1"}])
    with pytest.raises(InvalidRequestError, match=r"messages\[1\], HumanMessage: .*'file-1'"):
        to_engine_messages([USER, message])
    with pytest.warns(UserWarning, match=r"messages\[0\], HumanMessage: references to files"):
        assert llm.invoke([message, AIMessage("Well."), LAST], max_tokens=1)
    with pytest.warns(UserWarning, match="references to files"):
        assert llm.get_num_tokens_from_messages([USER, message]) > 0


# Memories that cut a chat anywhere

CHAT: list[BaseMessage] = [
    SystemMessage("Be brief."),
    USER,
    AIMessage(
        "",
        tool_calls=[
            {"name": "search", "args": {"query": "cats"}, "id": "1"},
            {"name": "search", "args": {}, "id": "2"},
        ],
    ),
    ToolMessage("cats sleep", tool_call_id="1"),
    ToolMessage("cats purr", tool_call_id="2"),
    AIMessage("They sleep and purr."),
    HumanMessage("All day?"),
    AIMessage("Nearly."),
    SystemMessage("Summary: we talked of cats."),
    LAST,
]


def test_every_part_is_counted(llm: ChatXLlama) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for begin in range(len(CHAT)):
            for end in range(begin + 1, len(CHAT) + 1):
                assert llm.get_num_tokens_from_messages(CHAT[begin:end], tools=[search]) > 0
        assert llm.get_num_tokens_from_messages([]) == 0


@pytest.mark.parametrize("strategy", ["first", "last"])
@pytest.mark.parametrize("allow_partial", [True, False])
def test_trim_messages_counts_by_the_model(llm: ChatXLlama, strategy: Any, allow_partial: bool) -> None:
    for limit in (10, 60, 90, 150, 400):
        trimmed = trim_messages(
            CHAT, max_tokens=limit, token_counter=llm, strategy=strategy, allow_partial=allow_partial
        )
        if trimmed:
            assert llm.get_num_tokens_from_messages(trimmed) <= limit
        if trimmed and trimmed[-1].type == "human":
            assert llm.bind_tools([search]).invoke(trimmed, max_tokens=1)


def test_summary_in_the_place_of_all_messages(llm: ChatXLlama) -> None:
    assert llm.invoke([SystemMessage("Summary: we talked of cats.")], max_tokens=1)
    assert llm.invoke(
        [SystemMessage("Be brief."), SystemMessage("Summary."), ToolMessage("x", tool_call_id="9"), LAST], max_tokens=1
    )


def test_summarising_middleware_cuts_and_goes_on(llm: ChatXLlama) -> None:
    short = llm.model_copy(update={"max_tokens": 8})
    middleware = SummarizationMiddleware(
        model=short, trigger=("tokens", 60), keep=("messages", 3), token_counter=llm.get_num_tokens_from_messages
    )
    agent = create_agent(short, tools=[search], middleware=[middleware])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = agent.invoke({"messages": CHAT[1:]}, {"recursion_limit": 6})
    assert len(state["messages"]) >= 2
