"""Models for the tests of DSPy's adapter. Answers are not cached on disk."""

from __future__ import annotations

from collections.abc import Iterator

import dspy
import pytest

import xlc_core as xlc
import xlc_dspy
from helpers.tiny_models import write_byte_llama

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)


@pytest.fixture(scope="session")
def engine() -> Iterator[xlc.Engine]:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=2048, n_parallel=8) as shared:
        yield shared


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """A fast model with random weights, whose tokens are bytes: it writes what its constraint allows at random."""
    path = write_byte_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf", n_ctx=8192)
    with xlc.Engine(path, n_ctx=8192, n_parallel=8, n_threads=1, chat_template=TEMPLATE) as shared:
        yield shared


@pytest.fixture
def lm(engine: xlc.Engine) -> dspy.LM:
    return xlc_dspy.lm(engine=engine, temperature=0, max_tokens=24, cache=False, num_retries=0)


@pytest.fixture
def typed(lm: dspy.LM) -> Iterator[dspy.LM]:
    """The model, and TypedAdapter, as DSPy's settings."""
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        yield lm
