"""A hostile GGUF file in any role is refused with our error or works; it never ends the process, hangs it, or raises
an error that is not ours. `make fuzz` opens more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import xlc_core as xlc
from attacks.gguf_mutations import STRING, Field, Gguf, pack, read_gguf, systematic_variants, text_bytes
from attacks.hostile_files import MODELS, SOURCES, case_of, random_cases, report, run, systematic_cases
from attacks.running import Case
from helpers.tiny_models import with_metadata, write_control_vector

STEP = 97  # every so many-th systematic variant; a prime, so that it meets all kinds
N_SEEDS = 5


@pytest.mark.parametrize("role", SOURCES)
def test_hostile_files_are_refused_or_work(role: str) -> None:
    cases: list[Case] = []
    for number, name in enumerate(SOURCES[role]):
        source = str(MODELS / f"{name}.gguf")
        cases += systematic_cases(role, source, STEP, first=number)
        cases += random_cases(role, source, range(N_SEEDS))
    figures = run(cases)
    assert sum(figures.counts.values()) == len(cases)
    assert not figures.faults, report(figures)
    assert figures.counts["refused"] > 0


def test_faults_are_found(tmp_path: Path) -> None:
    """The tests above would notice a process that ends, and go on with the next case."""
    source = str(MODELS / "llama.gguf")
    figures = run([case_of("abort", source, 0), case_of("generator", source, 0), case_of("no such role", source, 0)])
    assert figures.counts["SIGABRT"] == 1
    assert len(figures.faults) == 2


FINDINGS = [
    ("generator", "recurrent", "blk.0.ssm_out.weight type=26"),  # a product with integers called a null pointer
    ("embedder", "bert-embedder", "blk.0.ffn_up.weight type=26"),
    ("reranker", "bert-reranker", "cls.output.weight type=24"),
    ("eagle3", "llama-eagle3", "fc.weight type=26"),
    ("embedder", "bert-embedder", "bert.attention.head_count 0"),  # a division by zero
    ("embedder", "bert-embedder", "bert.attention.head_count removed"),
    ("eagle3", "llama-eagle3", "eagle3.rope.dimension_count 0"),  # a loop that did not end
    ("embedder", "bert-embedder", "general.name text1"),  # not UTF-8: UnicodeDecodeError
]


@pytest.mark.parametrize(("role", "name", "variant"), FINDINGS)
def test_past_findings(role: str, name: str, variant: str) -> None:
    source = MODELS / f"{name}.gguf"
    names = [one.name for one in systematic_variants(read_gguf(source.read_bytes()))]
    figures = run([case_of(role, str(source), names.index(variant))])
    assert not figures.faults, report(figures)


def changed(path: Path, name: str, change: Callable[[Gguf], object]) -> Path:
    target = read_gguf((MODELS / f"{name}.gguf").read_bytes())
    change(target)
    path.write_bytes(target.to_bytes())
    return path


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("bert__block_count", 100_000, "bert.block_count = 100000"),
        ("bert__attention__head_count", 0, "bert.attention.head_count"),
        ("bert__embedding_length", 2**31, "bert.embedding_length = 2147483648"),
        ("bert__pooling_type", 77, "bert.pooling_type = 77"),
        ("bert__context_length", 0, "bert.context_length = 0"),
    ],
)
def test_error_names_field_and_value(field: str, value: int, text: str, tmp_path: Path) -> None:
    path = with_metadata(MODELS / "bert-embedder.gguf", tmp_path / "model.gguf", **{field: value})
    with pytest.raises(xlc.ModelLoadError, match=text):
        xlc.Engine(path, n_threads=1)


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    def rename(target: Gguf) -> None:
        for one in target.fields:
            if one.key == b"general.name":
                one.raw = text_bytes("Bërt".encode("latin-1"))

    with xlc.Engine(changed(tmp_path / "model.gguf", "bert-embedder", rename), n_threads=1) as engine:
        assert engine.embed(["hello"]).shape[0] == 1


def test_fields_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    def add(target: Gguf) -> None:
        for key in (b"general.basename", b"xllama.prompt.query", b"general.description"):
            target.fields = [one for one in target.fields if one.key != key]
            target.fields.append(Field(key, STRING, text_bytes(b"\xff\xfe ")))

    with xlc.Engine(changed(tmp_path / "model.gguf", "bert-embedder", add), n_threads=1) as engine:
        assert engine.embed(["hello"], prompt_name="query").shape[0] == 1


def test_control_vectors(tmp_path: Path) -> None:
    source = tmp_path / "vector.gguf"
    shape = read_gguf((MODELS / "llama.gguf").read_bytes())
    width = next(tensor.sizes[0] for tensor in shape.tensors if tensor.name == b"token_embd.weight")
    write_control_vector(source, {1: np.ones(width, np.float32)})
    cases = systematic_cases("control vector", str(source), 3)
    figures = run(cases)
    assert not figures.faults, report(figures)
    assert figures.counts["refused"] > 0


def test_tensor_that_does_not_fit_encoder_is_named(tmp_path: Path) -> None:
    """Keys and values that are narrower than the heads need: the encoder would read beyond its rows."""
    tensors = {}
    for layer in range(2):
        for name in ("attn_k", "attn_v"):
            tensors[f"blk.{layer}.{name}.weight"] = np.ones((16, 64), np.float32)
            tensors[f"blk.{layer}.{name}.bias"] = np.ones(16, np.float32)
    source = MODELS / "bert-embedder.gguf"
    path = with_metadata(source, tmp_path / "model.gguf", tensors=tensors, bert__attention__value_length=8)
    with pytest.raises(xlc.ModelLoadError, match=r"blk\.0\.attn_k\.weight' has 64 × 16 numbers instead of 64 × 64"):
        xlc.Engine(path, n_threads=1)


def test_parts_of_split_model_are_read(tmp_path: Path) -> None:
    """Only the first part has the metadata, such as the number of heads."""
    whole = read_gguf((MODELS / "llama.gguf").read_bytes())
    n_first = 3  # tensors
    for part in range(2):
        target = whole.copy()
        starts = [tensor.offset for tensor in whole.tensors] + [len(whole.data)]
        first, end = (0, n_first) if part == 0 else (n_first, len(whole.tensors))
        target.tensors = target.tensors[first:end]
        target.data = whole.data[starts[first] : starts[end]]
        for tensor in target.tensors:
            tensor.offset -= starts[first]
        if part > 0:
            target.fields = []
        for key, type_, number in ((b"no", 2, part), (b"count", 2, 2), (b"tensors.count", 5, len(whole.tensors))):
            target.fields.append(Field(b"split." + key, type_, pack(type_, number)))
        (tmp_path / f"llama-0000{part + 1}-of-00002.gguf").write_bytes(target.to_bytes())
    options = {"n_ctx": 256, "n_parallel": 1, "n_threads": 1}
    answers = []
    for path in (MODELS / "llama.gguf", tmp_path / "llama-00001-of-00002.gguf"):
        with xlc.Engine(path, **options) as engine:
            answers.append(engine.complete("some words", max_tokens=8, temperature=0).text)
    assert answers[0] == answers[1]
