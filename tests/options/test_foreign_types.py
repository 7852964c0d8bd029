"""Options may be numbers and arrays of numpy, columns of tables, generators and texts of other classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.columns import COLUMNS, Text
from xlc_core.options.sampling import ChatOptions
from xlc_core.texts import to_json
from xlc_langchain import ChatXLlama, XLlamaEmbeddings
from xlc_llamaindex import XLlama


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_tokens", np.int64(2), 2),
        ("temperature", np.float32(0.5), 0.5),
        ("top_p", np.float16(0.5), 0.5),
        ("seed", np.uint32(5), 5),
        ("repeat_last_n", np.array(5), 5),
        ("cache_prompt", np.bool_(True), True),
        ("logit_bias", {np.int64(5): np.float32(1.5)}, {5: 1.5}),
        ("samplers", np.array(["top_k", "temperature"]), ("top_k", "temperature")),
        ("stop", Text("x"), ("x",)),
        ("tool_choice", np.str_("auto"), "auto"),
    ],
)
def test_values_of_numpy_are_options(name: str, value: Any, expected: Any) -> None:
    found = getattr(ChatOptions.checked(**{name: value}), name)
    assert found == expected


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_columns_are_lists_of_options(engine: xlc.Engine, column: Any) -> None:
    assert ChatOptions.checked(stop=column(["x", "y"])).stop == ("x", "y")
    reply = engine.chat("Is it red?", constraint=column(["yes", "no"]), max_tokens=4, temperature=0)
    assert reply.parsed in {"yes", "no"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": np.int64(1), "b": np.array([1.5, 2.5]), "c": np.bool_(True)}, '{"a": 1, "b": [1.5, 2.5], "c": true}'),
        ({"path": Path("a") / "b"}, '{"path": "a/b"}'),
    ],
)
def test_values_of_numpy_are_json(value: Any, text: str) -> None:
    assert to_json(value, "it").replace("\\\\", "/") == text


def test_schemas_may_hold_values_of_numpy() -> None:
    schema = {"type": "integer", "minimum": np.int64(1), "enum": np.array([1, 2, 30])}
    assert xlc.JsonSchema(schema).accepts("2")
    assert not xlc.JsonSchema(schema).accepts("3")


def test_other_objects_are_not_json() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="Object of type object is not JSON serializable"):
        to_json({"a": object()}, "it")


def test_tokens_and_engine_options_of_numpy(engine: xlc.Engine) -> None:
    tokens = engine.tokenize("a word")
    assert engine.detokenize(np.array(tokens)) == engine.detokenize(token for token in tokens) == "a word"  # type: ignore[arg-type]
    options = xlc.EngineOptions.checked(
        n_ctx=np.int64(512), tensor_split=np.array([0.5, 0.5]), use_mmap=np.bool_(False)
    )
    assert (options.n_ctx, options.tensor_split, options.use_mmap) == (512, (0.5, 0.5), False)


class ForeignPath:
    """As anyio, trio and py.path have paths that are not pathlib's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __fspath__(self) -> str:
        return self._name


def test_paths_of_other_libraries_are_paths() -> None:
    path: Any = ForeignPath("a.gguf")
    options = xlc.EngineOptions.checked(model=path, mmproj=path, lora=[path, {"path": path, "name": "b"}])
    assert (options.model, options.mmproj) == (Path("a.gguf"), Path("a.gguf"))
    assert [lora.path for lora in options.lora] == [Path("a.gguf")] * 2
    assert xlc.ImagePart(path=path).path == Path("a.gguf")
    assert XLlamaEmbeddings(model=path).model == ChatXLlama(model=path).model == XLlama(model=path).model == "a.gguf"
