"""Converting published models: what is refused without running anything, and the real converter where torch is there.

`make test-convert` installs torch and runs this file.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

import xlc_core as xlc
from xlc_core.cli import main
from xlc_core.models import convert, convert_process
from xlc_core.models.convert import CONVERSION_TYPES, convert_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoint"
    made.mkdir()
    (made / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    return made


def test_missing_package_is_named_with_extra(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"torch.*pip install 'xllama\[convert\]'"):
        convert_model(folder, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize(
    ("architecture", "tensors", "keeps"),
    [
        ("BertForSequenceClassification", (), True),
        ("BertModel", ("classifier.weight",), False),
        ("JinaBertForSequenceClassification", (), True),
        ("JinaBertForMaskedLM", ("bert.pooler.dense.weight", "classifier.weight"), True),
        ("JinaBertForMaskedLM", ("bert.pooler.dense.weight",), False),
    ],
)
def test_rerankers_that_have_pooler_are_known(
    folder: Path, architecture: str, tensors: tuple[str, ...], keeps: bool
) -> None:
    save_file({name: np.zeros(1, np.float32) for name in tensors}, folder / "model.safetensors")
    assert convert_process._has_pooler(folder, architecture) == keeps


def test_converter_came_along() -> None:
    found = convert._converter_folder()
    for name in ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion/bert.py", "gguf-py/gguf/__init__.py"):
        assert (found / name).is_file()


def test_unsupported_model_is_not_converted(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    with pytest.raises(xlc.InvalidRequestError, match=r"'q9'.*f16.*Q4_K_M"):
        convert_model(folder, target, "q9")
    with pytest.raises(xlc.ModelNotFoundError, match="no folder"):
        convert_model(tmp_path / "none", target)
    with pytest.raises(xlc.ModelNotFoundError, match="no folder"):
        convert_model(folder, tmp_path / "none" / "m.gguf")
    with pytest.raises(xlc.InvalidRequestError, match="is a folder"):
        convert_model(folder, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(xlc.ModelNotFoundError, match=r"config\.json"):
        convert_model(tmp_path / "empty", target)
    (tmp_path / "is.gguf").write_bytes(b"GGUF")
    with pytest.raises(xlc.InvalidRequestError, match="quantize"):
        convert_model(tmp_path / "is.gguf", target)
    with pytest.raises(xlc.InvalidRequestError, match="overwrite"):
        convert_model(folder, tmp_path / "is.gguf")
    with pytest.raises(xlc.InvalidRequestError, match="holds neither"):
        convert_model(folder, target, base=folder)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(xlc.InvalidRequestError, match="--base"):
        convert_model(folder, target)
    with pytest.raises(xlc.InvalidRequestError, match="adapter"):
        convert_model(folder, target, "Q4_K_M", base=folder)
    assert not target.exists()


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["LlamaForCausalLM"], "draft_vocab_size": 32000},
        {"architectures": ["LlamaForCausalLMEagle3"]},
        {"architectures": ["DFlashDraftModel"]},
        {"architectures": ["Qwen3DSparkModel"]},
    ],
    ids=str,
)
def test_head_needs_its_model(config: dict[str, object], folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(xlc.InvalidRequestError, match="--base"):
        convert_model(folder, tmp_path / "m.gguf")
    assert convert._script(folder, projector=False, base=folder, with_code=False) == (
        "convert_hf_to_gguf.py",
        ["--target-model-dir", str(folder)],
    )


def test_types_are_converters_and_quantisers() -> None:
    assert {"auto", "f32", "bf16", "q8_0", "Q4_K_M"} <= set(CONVERSION_TYPES)
    assert len({name.lower() for name in CONVERSION_TYPES}) == len(CONVERSION_TYPES)


def test_errors_reach_command_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main.app, ["models", "convert", str(tmp_path / "none"), str(tmp_path / "m.gguf")])
    assert done.exit_code == 1
    assert "no folder" in done.stderr


# As transformers loads a tokenizer or configuration whose files name Python code.
LOADS_CODE = """
from transformers.dynamic_module_utils import get_class_from_dynamic_module, resolve_trust_remote_code
if resolve_trust_remote_code(True, "m", {has_own_class}, True, upstream_repo=None):
    get_class_from_dynamic_module("tokenizer.Own", "m")
open({done!r}, "w").close()
"""


@pytest.mark.parametrize(
    ("trust", "has_own_class", "runs", "done"),
    [("", False, False, False), ("", True, False, True), ("trust-remote-code", False, True, True)],
)
def test_code_of_model_runs_only_if_trusted(
    tmp_path: Path, trust: str, has_own_class: bool, runs: bool, done: bool
) -> None:
    """transformers is not among the tests' packages, so that its functions stand in; with it, see below."""
    package, marks = tmp_path / "site" / "transformers", [tmp_path / "ran", tmp_path / "done"]
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "dynamic_module_utils.py").write_text(
        "def resolve_trust_remote_code(trusts, name, has_own_class, has_code, upstream_repo=None): return trusts\n"
        f"def get_class_from_dynamic_module(name, folder): open({str(marks[0])!r}, 'w').close()\n"
    )
    (tmp_path / "script.py").write_text(LOADS_CODE.format(has_own_class=has_own_class, done=str(marks[1])))
    process = subprocess.run(
        [sys.executable, convert_process.__file__, str(tmp_path), "script.py", "", trust],
        env={**os.environ, "PYTHONPATH": str(package.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [mark.exists() for mark in marks] == [runs, done], process.stderr
    if not done:
        error = convert._error(json.loads(process.stdout), process.returncode, [])
        assert isinstance(error, xlc.UnsupportedFeatureError)
        assert "--trust-remote-code" in str(error)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT cross-encoder as transformers writes it."""
    torch = pytest.importorskip("torch", reason="`make test-convert` runs these")
    transformers = pytest.importorskip("transformers", reason="`make test-convert` runs these")
    folder = tmp_path_factory.mktemp("checkpoint")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "aeiou")]
    tokenizer = transformers.BertTokenizer({word: i for i, word in enumerate(words)})
    tokenizer.add_special_tokens({"additional_special_tokens": words[:5]})  # as published tokenizers list them
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=1, initializer_range=0.3,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


def transformers_score(folder: Path, query: str, document: str) -> float:
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return float(model(**tokenizer(query, document, return_tensors="pt")).logits[0, 0])


def test_cross_encoder_scores_as_in_transformers(checkpoint: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    made = convert_model(checkpoint, tmp_path / "m.gguf", "f32", pre_tokenizer="jina-v2-en", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    with xlc.Engine(made, n_threads=1) as engine:
        score = engine.rerank("a b", ["c d e"])[0].score
    assert score == pytest.approx(transformers_score(checkpoint, "a b", "c d e"), abs=1e-3)


@pytest.mark.parametrize(
    ("prompts", "query", "document"),
    [
        ({"query": "find: ", "passage": "read: ", "clustering": "c: "}, "find: ", "read: "),
        ({"query": "find: "}, "find: ", ""),
        ({"query": "", "document": ""}, "query: ", "passage: "),  # what the file's name tells
    ],
)
def test_embedder_keeps_its_prompts(
    checkpoint: Path, tmp_path: Path, prompts: dict[str, str], query: str, document: str
) -> None:
    transformers: Any = importlib.import_module("transformers")
    folder = tmp_path / "checkpoint"
    transformers.BertModel.from_pretrained(checkpoint).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    made = convert_model(folder, tmp_path / "e5-small.gguf", "f32", pre_tokenizer="jina-v2-en")
    with xlc.Engine(made, n_threads=1) as engine:
        assert (engine.info.query_prompt, engine.info.document_prompt) == (query, document)


def test_other_types_are_quantised(checkpoint: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    made = convert_model(checkpoint, tmp_path / "m.gguf", "q4_0", pre_tokenizer="jina-v2-en", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    plain = convert_model(checkpoint, tmp_path / "p.gguf", "f32", pre_tokenizer="jina-v2-en")
    assert made.stat().st_size < 0.6 * plain.stat().st_size


def test_own_tokenizer_runs_only_if_trusted(checkpoint: Path, tmp_path: Path) -> None:
    folder, mark = tmp_path / "checkpoint", tmp_path / "ran"
    shutil.copytree(checkpoint, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(
        f"from transformers import BertTokenizer\nopen({str(mark)!r}, 'w').close()\n"
        "class OwnTokenizer(BertTokenizer): pass\n"
    )
    with pytest.raises(xlc.UnsupportedFeatureError, match="--trust-remote-code"):
        convert_model(folder, tmp_path / "m.gguf", pre_tokenizer="jina-v2-en")
    assert not mark.exists()
    convert_model(folder, tmp_path / "m.gguf", pre_tokenizer="jina-v2-en", trust_remote_code=True)
    assert mark.exists()


def test_tokenizer_must_be_known_or_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="pre_tokenizer"):
        convert_model(checkpoint, tmp_path / "m.gguf")


@pytest.mark.parametrize("name", ["WhisperForConditionalGeneration", "DistilBertForSequenceClassification"])
def test_architecture_that_it_does_not_know_is_named(checkpoint: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in checkpoint.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "architectures": [name]}))
    with pytest.raises(xlc.UnsupportedFeatureError, match=name):
        convert_model(other, tmp_path / "m.gguf")
    with pytest.raises(xlc.UnsupportedFeatureError, match="projector"):
        convert_model(checkpoint, tmp_path / "m.gguf", projector=True)


def test_checkpoint_without_weights_names_missing_files(checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(xlc.ModelLoadError, match=r"converter failed: \w+"):
        convert_model(broken, tmp_path / "m.gguf", pre_tokenizer="jina-v2-en")
    assert not (tmp_path / "m.gguf").exists()


def test_caller_can_interrupt(checkpoint: Path, tmp_path: Path) -> None:
    def stop(done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_model(checkpoint, tmp_path / "m.gguf", pre_tokenizer="jina-v2-en", progress=stop)
    assert list(tmp_path.iterdir()) == []


SIZES = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def save_byte_tokenizer(folder: Path) -> None:
    tokenizers: Any = importlib.import_module("tokenizers")
    transformers: Any = importlib.import_module("transformers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<mask>", *alphabet, "ab"])}
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[("a", "b")]))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    plain.add_special_tokens(list(words)[:4])
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **names).save_pretrained(folder)


@pytest.mark.parametrize("architecture", ["ModernBert", "EuroBert", "Llama", "Mistral"])
def test_embedders_as_transformers_saves_them(tmp_path: Path, architecture: str) -> None:
    transformers: Any = pytest.importorskip("transformers", reason="`make test-convert` runs these")
    folder = tmp_path / "embedder"
    more = {"cls_token_id": 1, "sep_token_id": 2, "num_key_value_heads": 2, "mask_token_id": 3}
    config = getattr(transformers, f"{architecture}Config")(**SIZES, **more)
    getattr(transformers, f"{architecture}Model")(config).save_pretrained(folder)
    save_byte_tokenizer(folder)
    (folder / "modules.json").write_text('[{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1"}]')
    (folder / "1").mkdir()
    (folder / "1" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    made = convert_model(folder, tmp_path / "m.gguf", "f32", pre_tokenizer="gpt-2")
    with xlc.Engine(made, n_threads=1) as engine:
        assert engine.info.pooling == "last"
        assert engine.embed(["abc"]).shape == (1, 32)


def test_head_drafts_for_model_that_it_was_converted_with(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="`make test-convert` runs these")
    transformers: Any = pytest.importorskip("transformers", reason="`make test-convert` runs these")
    safetensors: Any = importlib.import_module("safetensors.torch")
    folder, head = tmp_path / "model", tmp_path / "head"
    head.mkdir()
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=2)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    save_byte_tokenizer(folder)
    described = {
        **SIZES, "num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-6,
        "architectures": ["DFlashDraftModel"], "model_type": "qwen3", "block_size": 4,
        "dflash_config": {"mask_token_id": 3, "target_layer_ids": [0]},
    }  # fmt: skip
    (head / "config.json").write_text(json.dumps(described))
    shapes = {
        "fc": (32, 32), "hidden_norm": (32,), "norm": (32,), "layers.0.input_layernorm": (32,),
        "layers.0.post_attention_layernorm": (32,), "layers.0.self_attn.q_norm": (16,),
        "layers.0.self_attn.k_norm": (16,), **{f"layers.0.self_attn.{part}_proj": (32, 32) for part in "qkvo"},
        **{f"layers.0.mlp.{part}_proj": (32, 32) for part in ("gate", "up", "down")},
    }  # fmt: skip
    tensors = {f"{name}.weight": torch.ones(shape) / 32 for name, shape in shapes.items()}
    safetensors.save_file(tensors, head / "model.safetensors", {"format": "pt"})
    model = convert_model(folder, tmp_path / "m.gguf", "f32", pre_tokenizer="gpt-2")
    made = convert_model(head, tmp_path / "h.gguf", "f32", base=folder, pre_tokenizer="gpt-2")
    with xlc.Engine(model, speculation=xlc.DFlash(made), n_ctx=256, n_parallel=1, n_threads=1) as engine:
        assert engine.complete("ab", max_tokens=8, temperature=0, ignore_eos=True).timings.draft_tokens > 0
