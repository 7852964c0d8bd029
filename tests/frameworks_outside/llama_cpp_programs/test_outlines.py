"""outlines constrains answers with a logits processor of its own, one token at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import outlines
import pytest
from llama_cpp import Llama
from outlines.types import Regex
from pydantic import BaseModel

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[Any]:
    with Llama(str(smollm2_path), n_ctx=512, n_threads=2, verbose=False) as llama:
        yield outlines.from_llamacpp(llama)


def test_text(model: Any) -> None:
    assert model("Say hi.", max_tokens=4, temperature=0)
    assert "".join(model.stream("Say hi.", max_tokens=4, temperature=0))


def test_choice(model: Any) -> None:
    assert model("Is water wet?", Literal["yes", "no"], max_tokens=8) in ("yes", "no")


def test_regular_expression(model: Any) -> None:
    assert re.fullmatch("[0-9]{2}", model("A number.", Regex("[0-9]{2}"), max_tokens=8, temperature=0))


def test_type(model: Any) -> None:
    class Weather(BaseModel):
        sunny: bool

    answer = model("Is it sunny?", Weather, max_tokens=30, temperature=0)
    assert isinstance(json.loads(answer)["sunny"], bool)
