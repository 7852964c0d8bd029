"""Embedding in IngestionPipeline: caches, worker processes; and weights shared with LangChain's adapters."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from langchain_core.messages import HumanMessage
from llama_index.core import Document
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter

from helpers.llamaindex_watching import watched_events
from xlc_langchain import ChatXLlama
from xlc_llamaindex import XLlama, XLlamaEmbedding

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [Document(text=f"This is document number {n}. It says {n * n}.", id_=str(n)) for n in range(12)]

WORKERS = """
import asyncio, sys
from llama_index.core import Document
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from xlc_core import Engine
from xlc_llamaindex import XLlama, XLlamaEmbedding

if __name__ == "__main__":
    if sys.argv[1] == "async":  # an open engine cannot travel: the workers find its model again
        engine = Engine("all-minilm-l6-v2")
        embed_model = XLlamaEmbedding(engine=engine)
    else:
        embed_model = XLlamaEmbedding(model="all-minilm-l6-v2").load()
    llm = XLlama(model="smollm2-135m-instruct", n_ctx=512)
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0, tokenizer=llm.tokenizer)
    documents = [Document(text=f"This is document number {n}. It says {n * n}.", id_=str(n)) for n in range(12)]
    pipeline = IngestionPipeline(transformations=[splitter, embed_model])
    if sys.argv[1] == "async":
        nodes = asyncio.run(pipeline.arun(documents=documents, num_workers=2))
    else:
        nodes = pipeline.run(documents=documents, num_workers=2)
    expected = embed_model.get_text_embedding_batch([node.get_content("embed") for node in nodes])
    assert len(nodes) == 12
    for node, vector in zip(nodes, expected):
        assert max(abs(a - b) for a, b in zip(node.embedding, vector)) < 5e-3
    assert len(pipeline.cache.cache.get_all(collection=pipeline.cache.collection)) >= 2, "the workers' cache came back"
    print("done")
"""


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.usefixtures("embedder_path", "smollm2_path")
def test_worker_processes_embed(tmp_path: Path, way: str) -> None:
    """#14236, #13497, #21300, #16605: a local embedder in worker processes fails, hangs or loses the cache."""
    script = tmp_path / "ingest.py"
    script.write_text(WORKERS)
    done = subprocess.run([sys.executable, script, way], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"


def test_ingestion_cache_knows_model(embed_model: XLlamaEmbedding) -> None:
    cache = IngestionCache()

    def n_embedded(model: XLlamaEmbedding) -> int:
        with watched_events() as events:
            IngestionPipeline(transformations=[SentenceSplitter(), model], cache=cache).run(documents=DOCUMENTS)
        return sum(len(event.chunks) for event in events.of("EmbeddingEndEvent"))

    assert n_embedded(embed_model) == 12
    assert n_embedded(embed_model) == 0
    assert n_embedded(XLlamaEmbedding.from_dict(embed_model.to_dict())) == 0
    assert n_embedded(embed_model.model_copy(update={"dimensions": 64})) == 12


def test_other_file_with_same_name_is_embedded_again(tmp_path: Path, embedder_path: Path) -> None:
    path = tmp_path / "embedder.gguf"
    path.write_bytes(embedder_path.read_bytes())
    model = XLlamaEmbedding(model=path)
    before = model.to_dict()
    assert before["model_file"] == XLlamaEmbedding(model=embedder_path).to_dict()["model_file"]
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(bytes(changed))
    assert model.to_dict()["model_file"] != before["model_file"]
    path.unlink()
    assert model.to_dict()["model_file"] is None


async def test_batch_of_any_size(embed_model: XLlamaEmbedding) -> None:
    huge = XLlamaEmbedding(model=embed_model.model, embed_batch_size=1_000_000)
    nodes = await IngestionPipeline(transformations=[huge], disable_cache=True).arun(documents=DOCUMENTS)
    one_by_one = [embed_model.get_text_embedding(document.text) for document in DOCUMENTS]
    np.testing.assert_allclose([node.embedding for node in nodes], one_by_one, atol=5e-3)


def test_progress_bar_counts_texts(embed_model: XLlamaEmbedding, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(embed_model.get_text_embedding_batch(["a", "b", "c"], show_progress=True)) == 3
    assert "3/3" in capsys.readouterr().err
    embed_model.get_text_embedding_batch(["a", "b", "c"])
    assert capsys.readouterr().err == ""


def test_langchain_and_llamaindex_share_one_copy_of_weights(smollm2_path: Path) -> None:
    options: dict[str, Any] = {"model": "smollm2-135m-instruct", "n_ctx": 768, "engine_options": {"warmup": True}}
    process = psutil.Process()
    weights = smollm2_path.stat().st_size
    with ChatXLlama(**options, temperature=0, max_tokens=40) as chat:
        list(chat.stream([HumanMessage("Hi")]))
        before = process.memory_info().rss
        with XLlama(**options, temperature=0, max_tokens=40) as llm:
            assert llm._get_engine() is chat._get_engine()
            seen: list[int] = []
            first = chat.stream([HumanMessage("Tell a story.")])
            next(first)
            other = llm.stream_complete("Tell a story.")
            next(other)
            seen.append(llm._get_engine().metrics().requests_running)
            rest = threading.Thread(target=lambda: list(first))
            rest.start()
            assert list(other)
            rest.join(60)
            assert seen == [2]
            grown = process.memory_info().rss - before
            assert grown < 0.25 * weights
        assert chat.invoke("Hi").text
