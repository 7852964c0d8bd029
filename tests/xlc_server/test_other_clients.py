"""Frameworks' own classes for OpenAI's API, on our server."""

from __future__ import annotations

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=10)  # so that an answer ends before its tokens run out
    age: int = Field(ge=0, le=150)


@tool
def weather(city: str) -> str:
    """Look up the weather."""
    return city


def test_langchain_openai(url: str) -> None:
    llm = ChatOpenAI(base_url=f"{url}/v1", api_key="none", model="chat", temperature=0, seed=1, max_tokens=60)  # type: ignore[arg-type]
    answer = llm.invoke("Say hello.", max_tokens=6)
    assert answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 6
    assert "".join(chunk.text for chunk in llm.stream("Say hello.", max_tokens=6)) == answer.text
    assert isinstance(llm.with_structured_output(Person).invoke("Bob is 5."), Person)
    called = llm.bind_tools([weather], tool_choice="weather").invoke("Weather in Rome?")
    assert called.tool_calls[0]["name"] == "weather"
    embeddings = OpenAIEmbeddings(
        base_url=f"{url}/v1",
        api_key="none",
        model="embed",
        check_embedding_ctx_length=False,  # type: ignore[arg-type]
    )
    assert len(embeddings.embed_query("a cat")) == 384


async def test_llamaindex_openai_like(url: str) -> None:
    llm = OpenAILike(
        api_base=f"{url}/v1",
        api_key="none",
        model="chat",
        is_chat_model=True,
        max_tokens=6,
        temperature=0,
        max_retries=0,
    )
    messages = [ChatMessage(role="user", content="Say hello.")]
    answer = llm.chat(messages).message.content
    assert answer
    assert [chunk.message.content for chunk in llm.stream_chat(messages)][-1] == answer
    assert (await llm.achat(messages)).message.content == answer
    assert llm.complete("1, 2, 3,").text
    await llm._get_aclient().close()  # LlamaIndex leaves it open
