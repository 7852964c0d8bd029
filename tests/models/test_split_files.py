"""Models in several files are what they are as one: also where only a file's head is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFValueType
from langchain_core.documents import Document

import xlc_core as xlc
from attacks.gguf_mutations import Field, read_gguf
from helpers.split_models import split_model
from helpers.tiny_models import write_byte_llama
from xlc_core import _native
from xlc_core.engine.model_facts import read_facts
from xlc_core.models.identity import model_identity
from xlc_core.models.quantize import quantize_model
from xlc_langchain import XLlamaReranker

DOCUMENTS = ["The cat sleeps on the sofa.", "Paris is the capital of France.", "Rust is a programming language."]
QUERY = "What is the capital of France?"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return split_model(write_byte_llama(tmp_path / "tiny.gguf"), tmp_path, n_parts=3, last="output")


def test_reranker_ranks_as_whole_one(reranker: xlc.Engine, reranker_path: Path, tmp_path: Path) -> None:
    path = split_model(reranker_path, tmp_path)
    with xlc.Engine(path) as engine:
        assert engine.info.can_rerank
        assert engine.info.pooling == reranker.info.pooling
        assert engine.info.size_bytes == reranker.info.size_bytes
        found = {score.index: score.score for score in engine.rerank(QUERY, DOCUMENTS)}
    expected = {score.index: score.score for score in reranker.rerank(QUERY, DOCUMENTS)}
    assert found == pytest.approx(expected, abs=0.01)
    with XLlamaReranker(model=path, top_n=1) as adapter:
        (best,) = adapter.compress_documents([Document(text) for text in DOCUMENTS], QUERY)
    assert best.page_content == DOCUMENTS[1]


def test_embedder_embeds_as_whole_one(embedder: xlc.Engine, embedder_path: Path, tmp_path: Path) -> None:
    path = split_model(embedder_path, tmp_path, n_parts=4)
    with xlc.Engine(path) as engine:
        np.testing.assert_allclose(engine.embed(DOCUMENTS), embedder.embed(DOCUMENTS), atol=1e-3)


def test_head_counts_all_files(tiny: Path) -> None:
    whole = tiny.with_name("tiny.gguf")
    parts = sorted(tiny.parent.glob("model-*.gguf"))
    assert len(parts) == 3
    head = _native.read_model_file(str(tiny))
    assert head.file_bytes == sum(part.stat().st_size for part in parts)
    assert head.architecture == _native.read_model_file(str(whole)).architecture == "llama"
    facts = read_facts(xlc.EngineOptions(model=tiny))
    assert facts is not None
    assert facts.has_chat_template


def test_model_generates_and_sleeps(tiny: Path) -> None:
    options = {"n_ctx": 128, "n_parallel": 1, "warmup": False}
    with xlc.Engine(tiny, **options) as engine, xlc.Engine(tiny.with_name("tiny.gguf"), **options) as whole:  # type: ignore[arg-type]
        texts = [one.complete("ab", max_tokens=8, temperature=0, seed=1).text for one in (engine, whole)]
    assert texts[0] == texts[1]


def test_first_file_may_have_no_weights(tiny: Path) -> None:
    """As gguf-split --no-tensor-first-split writes it, and Hugging Face's publishers do."""
    from gguf import GGUFReader, GGUFWriter

    folder = tiny.parent / "no tensors"
    folder.mkdir()
    first = folder / "m-00001-of-00002.gguf"
    reader = GGUFReader(tiny.with_name("tiny.gguf"))
    writers = [GGUFWriter(path, "llama") for path in (first, folder / "m-00002-of-00002.gguf")]
    for number, writer in enumerate(writers):
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0].name == "ARRAY":
            writers[0].add_array(key, field.contents())
        else:
            writers[0].add_key_value(key, field.contents(), field.types[0])
    for tensor in reader.tensors:
        writers[1].add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    for writer in writers:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    with xlc.Engine(first, n_ctx=128, n_parallel=1, warmup=False) as engine:
        assert engine.complete("ab", max_tokens=3, ignore_eos=True).usage.completion_tokens == 3


def test_links_to_parts_are_followed(tiny: Path, tmp_path: Path) -> None:
    """huggingface_hub's cache has links whose targets are named by their checksums."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for number, part in enumerate(sorted(tiny.parent.glob("model-*.gguf"))):
        blob = part.rename(tmp_path / f"blob{number}")
        (folder / part.name).symlink_to(blob)
    with xlc.Engine(folder / tiny.name, n_ctx=128, n_parallel=1, warmup=False) as engine:
        assert engine.info.can_generate


def test_identity_is_that_of_all_files(tiny: Path, tmp_path: Path) -> None:
    before = model_identity(tiny)
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in tiny.parent.glob("model-*.gguf"):
        shutil.copy(part, copy / part.name)
    assert model_identity(copy / tiny.name) == before
    last = copy / "model-00003-of-00003.gguf"
    data = bytearray(last.read_bytes())
    data[-5] ^= 1
    last.write_bytes(data)
    assert model_identity(copy / tiny.name) != before


def test_split_model_is_quantised(tiny: Path, tmp_path: Path) -> None:
    made = quantize_model(tiny, tmp_path / "small.gguf", "Q8_0")
    with xlc.Engine(made, n_ctx=128, n_parallel=1, warmup=False) as engine:
        assert engine.complete("ab", max_tokens=3, ignore_eos=True).usage.completion_tokens == 3


def test_other_part_is_refused(tiny: Path) -> None:
    with pytest.raises(xlc.ModelLoadError, match=r"is part 2 of 3 of a model .* pass the first one"):
        xlc.Engine(tiny.with_name("model-00002-of-00003.gguf"))


def test_missing_part_is_named(tiny: Path) -> None:
    tiny.with_name("model-00003-of-00003.gguf").unlink()
    with pytest.raises(xlc.ModelLoadError, match="model-00003-of-00003"):
        xlc.Engine(tiny)


def test_number_of_parts_is_bounded(tmp_path: Path) -> None:
    """The name and the header agree on 50 million files, none of which exists."""
    sound = read_gguf(write_byte_llama(tmp_path / "sound.gguf").read_bytes())
    sound.fields.append(Field(b"split.count", GGUFValueType.UINT32, (50_000_000).to_bytes(4, "little")))
    path = tmp_path / "model-00001-of-50000000.gguf"
    path.write_bytes(sound.to_bytes())
    assert _native.read_model_file(str(path)).file_bytes == path.stat().st_size
    with pytest.raises(xlc.ModelLoadError):
        xlc.Engine(path)


def test_heads_are_checked_beside_tensors_of_other_files(tmp_path: Path) -> None:
    """llama.cpp divides by the number of heads, which only the first file has."""
    first = split_model(write_byte_llama(tmp_path / "sound.gguf"), tmp_path, n_parts=10, last="blk")
    key = b"llama.attention.head_count" + (4).to_bytes(4, "little")
    data = first.read_bytes()
    assert b"attn_q.weight" not in data
    start = data.index(key) + len(key)
    first.write_bytes(data[:start] + bytes(4) + data[start + 4 :])
    with pytest.raises(xlc.ModelLoadError, match="head_count"):
        xlc.Engine(first)
