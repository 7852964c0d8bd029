"""The program that runs llama.cpp's converter in a separate process, with additions.

convert.py runs it with the converter's folder, its script, the name of a pre-tokenizer, whether the model's code is
trusted, and then the converter's own arguments. It does not import xlc_core, and
keeps torch and transformers out of the caller's process. On stdout it writes one JSON object per line:
``{"progress": 0.4}``, and after a failure ``{"error": kind, "message": text}``.
"""

from __future__ import annotations

import importlib
import json
import logging
import runpy
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_POOLER = {
    "pooler.dense.weight": "classifier.dense.weight",
    "pooler.dense.bias": "classifier.dense.bias",
}
_HEAD = {
    "classifier.weight": "classifier.out_proj.weight",
    "classifier.bias": "classifier.out_proj.bias",
}
_PROMPTS = {
    "query": ("query", "retrieval.query", "search_query", "s2p_query"),
    "document": ("document", "passage", "corpus", "retrieval.passage", "search_document"),
}
_SAVED_VISION_PARTS = ("vision_tower.embeddings.", "vision_tower.encoder.", "vision_tower.post_layernorm.")
_SAME_AS = {
    "MistralModel": "MistralForCausalLM",  # e5-mistral and similar models
    "JinaBertForSequenceClassification": "JinaBertModel",
}
_WRONG_HEADS = {
    "DistilBertForSequenceClassification": "its head has a ReLU, but llama.cpp computes a tanh",
}


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class _RefusalError(Exception):
    """A model that the converter cannot convert; the message is for the user."""


class _Progress:
    """Replaces tqdm's bar while the converter writes tensors: total and update() count bytes."""

    def __init__(self, iterable: Iterable[Any] | None = None, total: float | None = None, **_: Any) -> None:
        self._iterable = iterable
        self._total = total
        self._done = 0.0
        self._said = -1

    def __iter__(self) -> Any:
        return iter(self._iterable or ())

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: float = 1) -> None:
        self._done += n
        percent = int(100 * self._done / self._total) if self._total else 0
        if percent > self._said:
            self._said = percent
            _say(progress=min(percent, 100) / 100)

    def set_description(self, *_: Any, **__: Any) -> None:
        pass

    def reset(self, total: float | None = None) -> None:
        self._total = total

    def close(self) -> None:
        pass


def _has_pooler(folder: Path, architecture: str) -> bool:
    if architecture.startswith("JinaBert"):  # some of its rerankers have the name of another class
        return architecture.endswith("ForSequenceClassification") or "classifier.weight" in _tensor_names(folder)
    return architecture == "BertForSequenceClassification"


def _tensor_names(folder: Path) -> set[str]:
    """Return the names of the tensors in a checkpoint's safetensors files."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            names.update(file.keys())
    return names


def _keep_pooler(architecture: str) -> None:
    """Keep the pooler of an architecture's cross-encoders, which the converter drops.

    In llama.cpp BERT's pooler is ``cls``, and the layer that computes the score is ``cls.output``. For Jina llama.cpp
    only knows a ``cls`` that computes the score; native/overrides/src/models/jina-bert-v2.cpp adds the rest.
    """
    bert = importlib.import_module("conversion.bert")
    base = importlib.import_module("conversion.base")
    gguf = importlib.import_module("gguf")
    converter = bert.JinaBertV2Model if architecture.startswith("Jina") else bert.BertModel
    if gguf.MODEL_TENSOR.CLS_OUT not in (known := gguf.MODEL_TENSORS[converter.model_arch]):
        known.append(gguf.MODEL_TENSOR.CLS_OUT)

    class CrossEncoder(converter):  # type: ignore[misc, valid-type] # only known at run time
        model_arch = converter.model_arch

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # Also the names that transformers makes up: without labels llama.cpp expects a single output.
            self.cls_out_labels: Any = self.hparams.get("id2label")

        @classmethod
        def filter_tensors(cls, item: tuple[str, Callable[[], Any]]) -> tuple[str, Callable[[], Any]] | None:
            name, read = item
            if kept := _POOLER.get(name.removeprefix("bert.")):
                return kept, read
            filtered: tuple[str, Callable[[], Any]] | None = super().filter_tensors(item)
            return filtered

        def modify_tensors(self, data_torch: Any, name: str, bid: int | None) -> Iterable[tuple[str, Any]]:
            yield from super().modify_tensors(data_torch, _HEAD.get(name, name), bid)

    base.ModelBase._model_classes[base.ModelType.TEXT][architecture] = CrossEncoder


def _complete_parameters(model: Any, architecture: str) -> None:
    """Correct fields of config.json with which the converter, or later llama.cpp, would fail."""
    written = model.set_gguf_parameters

    def set_gguf_parameters(self: Any) -> None:
        if architecture.startswith("ModernBert"):
            # transformers saves the value under one name only, but llama.cpp reads the other.
            self.hparams.setdefault("layer_norm_eps", self.hparams.get("norm_eps"))
        if architecture.startswith("EuroBert"):
            # This belongs to a head, which an embedder does not have; the converter refuses its usual value.
            self.hparams.pop("classifier_pooling", None)
        written(self)

    model.set_gguf_parameters = set_gguf_parameters


def _write_pooling(model: Any) -> None:
    """Write the pooling of sentence-transformers' modules.json for decoders too; the converter often skips them."""
    written = model.set_gguf_parameters

    def set_gguf_parameters(self: Any) -> None:
        written(self)
        is_pooled = any(key.endswith(".pooling_type") for shard in self.gguf_writer.kv_data for key in shard)
        if not is_pooled and (Path(self.dir_model) / "modules.json").is_file():
            self._try_set_pooling_type()

    model.set_gguf_parameters = set_gguf_parameters


def _write_prompts(model: Any) -> None:
    """Write the prompts of sentence-transformers' configuration under our keys, since GGUF does not define any."""
    written = model.set_gguf_parameters

    def set_gguf_parameters(self: Any) -> None:
        written(self)
        path = Path(self.dir_model) / "config_sentence_transformers.json"
        named = json.loads(path.read_text("utf-8")).get("prompts", {}) if path.is_file() else {}
        prompts = {
            kind: next((named[name] for name in names if isinstance(named.get(name), str)), "")
            for kind, names in _PROMPTS.items()
        }
        # New versions write two empty prompts for every model, whether it was trained with prompts or not.
        if any(prompts.values()):
            for kind, text in prompts.items():
                self.gguf_writer.add_string(f"xllama.prompt.{kind}", text)

    model.set_gguf_parameters = set_gguf_parameters


def _name_vision_tensors_as_published(model: Any) -> None:
    """Accept the tensors of a SigLIP or CLIP encoder under the names that newer versions of transformers write."""
    filtered = model.filter_tensors

    def filter_tensors(item: tuple[str, Callable[[], Any]]) -> tuple[str, Callable[[], Any]] | None:
        name, read = item
        if name.removeprefix("model.").startswith(_SAVED_VISION_PARTS):
            name = name.replace("vision_tower.", "vision_tower.vision_model.", 1)
        kept: tuple[str, Callable[[], Any]] | None = filtered((name, read))
        return kept

    model.filter_tensors = staticmethod(filter_tensors)


def _name_pre_tokenizer(name: str) -> None:
    base = importlib.import_module("conversion.base")
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: name


def _check_architecture(folder: Path, *, projector: bool) -> None:
    conversion = importlib.import_module("conversion")
    hparams = conversion.ModelBase.load_hparams(folder, False)
    kind = conversion.ModelType.MMPROJ if projector else conversion.ModelType.TEXT
    architecture = conversion.get_model_architecture(hparams, kind)
    if reason := _WRONG_HEADS.get(architecture):
        raise _RefusalError(f"{architecture} would give wrong scores: {reason}; use a reranker of another architecture")
    if (known := _SAME_AS.get(architecture)) and not projector:
        conversion.TEXT_MODEL_MAP[architecture] = conversion.TEXT_MODEL_MAP[known]
        classes = conversion.ModelBase._model_classes[kind]
        classes[architecture] = conversion.get_model_class(known)
    try:
        model = conversion.get_model_class(architecture, mmproj=projector)
    except NotImplementedError:
        what = "a projector for images or sound of" if projector else "models of"
        raise _RefusalError(f"llama.cpp's converter does not know {what} the architecture {architecture}") from None
    if _has_pooler(folder, architecture):
        _keep_pooler(architecture)
    elif projector:
        _name_vision_tensors_as_published(model)
    else:
        _complete_parameters(model, architecture)
        _write_pooling(model)
        _write_prompts(model)


def _replace_bars() -> None:
    import tqdm  # the converter's own dependency

    tqdm.tqdm = _Progress  # type: ignore[assignment, misc]


def _refuse_code() -> None:
    """Make transformers use its own classes only, although the converter allows it to run a model's code.

    transformers finds the code that a model's files name in one module. Its other modules copy the functions when they
    are imported, which is later.
    """
    code = importlib.import_module("transformers.dynamic_module_utils")

    def refuse(*_: Any, **__: Any) -> Any:
        raise _RefusalError(
            "the model brings its tokenizer or configuration as Python code, which would run with your rights; look at "
            "it, and allow it with trust_remote_code=True (--trust-remote-code)"
        )

    def decide(_trusts: Any, _name: Any, has_own_class: bool, has_code: bool, *_: Any, **__: Any) -> bool:
        if has_code and not has_own_class:
            refuse()
        return False

    code.resolve_trust_remote_code = decide  # type: ignore[attr-defined]
    code.get_class_from_dynamic_module = refuse  # type: ignore[attr-defined]
    code.get_cached_module_file = refuse  # type: ignore[attr-defined]


def main(converter: Path, script: str, pre_tokenizer: str, trust: str, arguments: list[str]) -> None:
    """Run one of the converter's scripts."""
    sys.path[:0] = [str(converter), str(converter / "gguf-py")]
    if trust != "trust-remote-code":
        _refuse_code()
    _replace_bars()
    if pre_tokenizer:
        _name_pre_tokenizer(pre_tokenizer)
    if script == "convert_hf_to_gguf.py" and "--mistral-format" not in arguments:
        _check_architecture(Path(arguments[0]), projector="--mmproj" in arguments)
    sys.argv = [script, *arguments]
    # Standard output is reserved for our JSON lines.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    runpy.run_path(str(converter / script), run_name="__main__")


def _explain(error: BaseException) -> tuple[str, str]:
    text = str(error) or type(error).__name__
    if isinstance(error, _RefusalError):
        return "unsupported", text
    if isinstance(error, NotImplementedError):
        if "BPE pre-tokenizer was not recognized" in text:
            return "pre_tokenizer", text
        return "unsupported", text
    if isinstance(error, ImportError):
        return "import", text
    return "failed", f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as error:
        if error.code not in (None, 0):
            _say(error="failed", message="")
        raise
    except BaseException as error:
        logging.getLogger("converter").exception("conversion failed")
        kind, message = _explain(error)
        _say(error=kind, message=message)
        sys.exit(1)
