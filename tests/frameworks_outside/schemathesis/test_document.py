"""Requests that schemathesis makes of the server's own OpenAPI document: right ones and wrong ones.

Every answer must be one that the document has: its status, its content type and its form; and no request may fail with
a status of 500 or be accepted although the document forbids it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

import xlc_core as xlc
from helpers.servers import reached, running_server
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import FIM_TOKENS, write_byte_llama

load_all_checks()

# The form of a request is in the document. Whether a schema can be enforced, a model exists, a picture is one, or a
# text fits into the context is not. Status 501 is an answer of the document; 500 is a fault everywhere.
NOT_CHECKED = [positive_data_acceptance, not_a_server_error]

with reached("portless", xlc.EnginePool({"tiny": "not opened here"}, others="none")) as client:
    DOCUMENT = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
OPERATIONS: dict[str, Any] = {
    operation.label: operation for operation in (found.ok() for found in DOCUMENT.get_all_operations())
}


def _can_be(mode: GenerationMode, operation: Any) -> bool:
    """Whether requests can be wrong: a request without fields, or with a text in its path, cannot be."""
    fields = operation.definition.raw.keys() & {"requestBody"} or list(operation.query)
    return mode is GenerationMode.POSITIVE or bool(fields)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    model = write_byte_llama(folder / "tiny.gguf", n_ctx=512, control=FIM_TOKENS)
    mmproj = write_mmproj(folder / "mmproj.gguf", audio=True)
    options: Any = {"mmproj": mmproj, "n_ctx": 512, "n_parallel": 4, "n_threads": 1}
    conversations: Path = tmp_path_factory.mktemp("conversations")
    with (
        xlc.EnginePool({"tiny": model}, others="none", **options) as pool,
        running_server(pool, access_log=False, timeout=30, slot_save_path=conversations) as address,
    ):
        yield address


CASES = [(label, mode) for label, one in OPERATIONS.items() for mode in GenerationMode if _can_be(mode, one)]


@pytest.mark.parametrize(("label", "mode"), CASES, ids=lambda value: getattr(value, "value", value))
def test_answers_are_those_of_the_document(url: str, label: str, mode: GenerationMode) -> None:
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def check(case: Any) -> None:
        answer = case.call_and_validate(base_url=url, excluded_checks=NOT_CHECKED, timeout=120)
        assert answer.status_code not in (500, 503), answer.text

    check()
