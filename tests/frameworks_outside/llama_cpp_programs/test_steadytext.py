"""SteadyText generates, streams, embeds, and gives structured output: the same text each time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from helpers import tiny_embedders

pytestmark = pytest.mark.filterwarnings("ignore")

PROMPT = "The capital of France is"


class Weather(BaseModel):
    sunny: bool


@pytest.fixture(scope="module")
def steadytext(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """SteadyText with models that lie where it looks for them, without its daemon and its caches."""
    home = tmp_path_factory.mktemp("home")
    models = home / "cache" / "steadytext" / "models"
    models.mkdir(parents=True)
    (models / "chat.gguf").symlink_to(smollm2_path)
    patch = pytest.MonkeyPatch()
    patch.setattr(tiny_embedders, "N_EMBD", 1024)  # SteadyText takes no other width
    tiny_embedders.write_gemma_embedding2(models / "embed.gguf", n_out=1024)
    for name, value in {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "STEADYTEXT_DISABLE_DAEMON": "1",
        "STEADYTEXT_CACHE_BACKEND": "memory",
        "STEADYTEXT_GENERATION_MODEL_REPO": "of/tests",
        "STEADYTEXT_GENERATION_MODEL_FILENAME": "chat.gguf",
        "STEADYTEXT_EMBEDDING_MODEL_REPO": "of/tests",
        "STEADYTEXT_EMBEDDING_MODEL_FILENAME": "embed.gguf",
    }.items():
        patch.setenv(name, value)
    import steadytext

    yield steadytext
    patch.undo()


def twice(steadytext: Any, **arguments: Any) -> Any:
    """Return what SteadyText generates, after its cache has forgotten it, if it is the same twice."""
    answers = []
    for _ in range(2):
        steadytext.get_cache_manager().clear_all_caches()
        answers.append(steadytext.generate(PROMPT, max_new_tokens=12, **arguments))
    assert answers[0] == answers[1]
    assert answers[0]
    return answers[0]


def test_same_text_twice(steadytext: Any) -> None:
    twice(steadytext)


def test_stream_is_the_text(steadytext: Any) -> None:
    pieces = list(steadytext.generate_iter(PROMPT, max_new_tokens=12))
    assert len(pieces) > 1
    steadytext.get_cache_manager().clear_all_caches()
    assert "".join(pieces).strip() == steadytext.generate(PROMPT, max_new_tokens=12).strip()


def test_json_schema(steadytext: Any) -> None:
    schema = {"type": "object", "properties": {"sunny": {"type": "boolean"}}, "required": ["sunny"]}
    answer = twice(steadytext, schema=schema)
    found = re.search("<json-output>(.*)</json-output>", answer, re.DOTALL)
    assert found is not None
    assert isinstance(json.loads(found[1])["sunny"], bool)


def test_pydantic(steadytext: Any) -> None:
    assert isinstance(twice(steadytext, schema=Weather, return_pydantic=True), Weather)


def test_regular_expression(steadytext: Any) -> None:
    assert re.fullmatch("[0-9]+", twice(steadytext, regex="[0-9]+"))


def test_choice(steadytext: Any) -> None:
    assert twice(steadytext, choices=["red", "blue"]) in ("red", "blue")


def test_vectors(steadytext: Any) -> None:
    vector = steadytext.embed("A cat")
    assert vector.shape == (1024,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(vector, steadytext.embed("A cat"))
