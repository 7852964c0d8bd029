"""Prompts of embedding models for queries and documents: from the catalog, their files and their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers import tiny_models
from xlc_core.models.prompts import RetrievalPrompts, _prompts_from_names, retrieval_prompt, with_instruction

WEB_SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
SENTENCE = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("Nomic Embed Text v2 MoE", "search_query: ", "search_document: "),
        ("Modernbert Embed Base", "search_query: ", "search_document: "),
        ("Qwen3 Embedding 0.6B", WEB_SEARCH, ""),
        ("hf:Qwen/Qwen3-Embedding-4B-GGUF:Q8_0", WEB_SEARCH, ""),
        ("Embeddinggemma 300M", "task: search result | query: ", "title: none | text: "),
        ("multilingual-e5-large", "query: ", "passage: "),
        ("E5 Base v2", "query: ", "passage: "),
        ("multilingual-e5-large-instruct", WEB_SEARCH + " ", ""),
        ("e5-mistral-7b-instruct", WEB_SEARCH + " ", ""),
        ("bge-small-en-v1.5", SENTENCE, ""),
        ("Bge M3", "", ""),
        ("bge-reranker-base", "", ""),
        ("mxbai-embed-large-v1", SENTENCE, ""),
        ("snowflake-arctic-embed-m-v1.5", SENTENCE, ""),
        ("Snowflake Arctic Embed L v2.0", "query: ", ""),
        ("MiniLM L6 H384 Uncased", "", ""),
        ("Qwen3 0.6B", "", ""),
        ("the5-large", "", ""),
    ],
)  # fmt: skip
def test_families_are_known_by_name(name: str, query: str, document: str) -> None:
    assert _prompts_from_names([name]) == RetrievalPrompts(query, document)


def test_first_name_that_is_known_holds() -> None:
    assert _prompts_from_names(["my model", "e5-base", "bge-small-en"]) == RetrievalPrompts("query: ", "passage: ")


def test_prompts_are_known_before_loading(embedder_path: Path, tmp_path: Path) -> None:
    assert retrieval_prompt("embeddinggemma-300m", "document") == "title: none | text: "
    assert retrieval_prompt("hf:nobody/e5-small-GGUF", "query") == "query: "
    assert retrieval_prompt(embedder_path, "query") == ""
    file = tiny_models.with_metadata(embedder_path, tmp_path / "a.gguf", general__name="E5 Small v2")
    assert retrieval_prompt(file, "document") == "passage: "
    assert retrieval_prompt(str(file), "query") == "query: "


@pytest.fixture
def e5(embedder_path: Path, tmp_path: Path) -> Path:
    """A file whose name says nothing; its metadata does."""
    return tiny_models.with_metadata(embedder_path, tmp_path / "model.gguf", general__name="E5 Small v2")


async def test_prompts_go_before_texts(e5: Path) -> None:
    texts = ["a llama", "a bank"]
    with xlc.Engine(e5) as engine:
        assert (engine.info.query_prompt, engine.info.document_prompt) == ("query: ", "passage: ")
        told = {kind: engine.embed(texts, prompt_name=kind) for kind in ("query", "document")}
        for kind, prefix in (("query", "query: "), ("document", "passage: ")):
            expected = engine.embed([prefix + text for text in texts])
            np.testing.assert_allclose(told[kind], expected, atol=2e-3)
            np.testing.assert_allclose(await engine.aembed(texts, prompt_name=kind), expected, atol=2e-3)
            np.testing.assert_allclose(list(engine.embed_stream(texts, prompt_name=kind)), expected, atol=2e-3)
        plain = engine.embed(texts)
        assert np.abs(plain - told["query"]).max() > 0.01
        np.testing.assert_allclose(engine.embed(texts, prompt_name="query", prompt=""), plain, atol=2e-3)
        n_plain, n_told = (len(engine.embed_tokens(texts[:1], prompt_name=kind)[0]) for kind in (None, "query"))
        assert n_told == n_plain + 2
        with pytest.raises(xlc.InvalidRequestError, match=r"prompt_name.*'query' or 'document'"):
            engine.embed(texts, prompt_name="passage")  # type: ignore[arg-type]
        with pytest.raises(xlc.InvalidRequestError, match=r"must be the text itself; .* prompt_name='query'"):
            engine.embed(texts, prompt="query")


def test_file_s_own_prompts_come_before_its_name(embedder_path: Path, tmp_path: Path) -> None:
    file = tiny_models.with_metadata(
        embedder_path,
        tmp_path / "e5-small.gguf",
        general__name="E5",
        xllama__prompt__query="find: ",
        xllama__prompt__document="",
    )
    assert retrieval_prompt(file, "query") == "find: "
    assert retrieval_prompt(file, "document") == ""


def test_catalog_entry_comes_before_file(e5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = tmp_path / "catalog.toml"
    text = f'[mine]\ndescription = "d"\nlicense = "MIT"\nkind = "embedding"\nsource = "file:{e5}"\n'
    catalog.write_text(text + 'query_prompt = ""\n')
    monkeypatch.setenv("XLLAMA_CATALOG", str(catalog))
    assert retrieval_prompt("mine", "query") == ""
    assert retrieval_prompt("mine", "document") == "passage: "
    with xlc.Engine("mine") as engine:
        assert (engine.info.query_prompt, engine.info.document_prompt) == ("", "passage: ")


async def test_adapters_use_them(e5: Path) -> None:
    from xlc_langchain import XLlamaEmbeddings
    from xlc_llamaindex import XLlamaEmbedding

    with xlc.Engine(e5) as engine:
        query, document = engine.embed(["query: tea", "passage: tea"])
        langchain = XLlamaEmbeddings(engine=engine)
        llamaindex = XLlamaEmbedding(engine=engine)
        given: list[tuple[Any, Any]] = [
            (langchain.embed_query("tea"), query),
            (await langchain.aembed_query("tea"), query),
            (langchain.embed_documents(["tea"])[0], document),
            (llamaindex.get_query_embedding("tea"), query),
            (llamaindex.get_text_embedding("tea"), document),
            (await llamaindex.aget_text_embedding("tea"), document),
        ]
        for vector, expected in given:
            np.testing.assert_allclose(vector, expected, atol=2e-3)


def test_instructions_have_place_in_some_prompts() -> None:
    assert with_instruction("Instruct: Find it\nQuery:", "Find \\1 bugs") == "Instruct: Find \\1 bugs\nQuery:"
    assert with_instruction("query: ", "Find bugs") is None
