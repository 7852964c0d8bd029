"""Gaps in texts, in two forms; and counters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

import xlc_core as xlc
from helpers.servers import WAYS, reached, running_server
from helpers.tiny_models import FIM_FILE_TOKENS, FIM_TOKENS, write_byte_llama

GREEDY: Any = {"temperature": 0, "seed": 1}


@pytest.fixture(scope="module")
def coders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.EnginePool]:
    control = (*FIM_FILE_TOKENS, *FIM_TOKENS)
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "coder.gguf", control=control)
    with xlc.EnginePool({'co"der': path}, n_ctx=512, n_parallel=2, n_threads=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def coder_url(coders: xlc.EnginePool) -> Iterator[str]:
    with running_server(coders) as address:
        yield address


def test_gaps_are_filled_in_both_forms(coders: xlc.EnginePool, coder_url: str) -> None:
    with coders.acquire('co"der') as lease:
        expected = lease.engine.infill("def f(", "return 1", max_tokens=6, **GREEDY)
        with_file = lease.engine.infill("def f(", "return 1", extra={"a.py": "x = 1"}, max_tokens=6, **GREEDY)
    body: Any = {"input_prefix": "def ", "prompt": "f(", "input_suffix": "return 1", "n_predict": 6, **GREEDY}
    answer = httpx.post(f"{coder_url}/infill", json=body, timeout=60).json()
    assert answer["content"] == expected.text
    assert answer["tokens_predicted"] == 6
    assert answer["stop_type"] == "limit"
    extra = {**body, "input_extra": [{"filename": "a.py", "text": "x = 1"}]}
    answer = httpx.post(f"{coder_url}/infill", json=extra, timeout=60).json()
    assert (answer["content"], answer["tokens_evaluated"]) == (with_file.text, with_file.usage.prompt_tokens)
    lines = httpx.post(f"{coder_url}/infill", json={**body, "stream": True}, timeout=60).text.split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert "".join(event["content"] for event in events) == expected.text
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    with openai.OpenAI(base_url=f"{coder_url}/v1", api_key="none", max_retries=0) as client:
        options: Any = {"model": "", "prompt": "def f(", "suffix": "return 1", "max_tokens": 6, **GREEDY}
        assert client.completions.create(**options).choices[0].text == expected.text
        chunks = client.completions.create(**options, stream=True)
        assert "".join(chunk.choices[0].text for chunk in chunks) == expected.text


def test_model_without_tokens_for_gaps_refuses(url: str) -> None:
    with pytest.raises(openai.APIStatusError) as raised, openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        client.completions.create(model="chat", prompt="a", suffix="b")
    assert raised.value.status_code in (400, 422)


def test_metrics_of_open_models(coders: xlc.EnginePool, coder_url: str) -> None:
    httpx.post(f"{coder_url}/infill", json={"input_prefix": "a", "n_predict": 3}, timeout=60)
    with coders.acquire('co"der') as lease:
        n_tokens = lease.engine.metrics().generation_tokens
    lines = httpx.get(f"{coder_url}/metrics").text.splitlines()
    assert f'xllama_generation_tokens_total{{model="co\\"der"}} {n_tokens}' in lines
    assert "xllama_http_requests 0" in lines
    assert all(line.startswith(("# HELP xllama_", "# TYPE xllama_", "xllama_")) for line in lines)


@pytest.mark.parametrize("way", WAYS)
def test_prometheus_reads_the_metrics(coders: xlc.EnginePool, way: str) -> None:
    with reached(way, coders) as client, coders.acquire('co"der') as lease:
        counted = lease.engine.metrics()
        families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert all(family.documentation and family.type in ("counter", "gauge") for family in families.values())
    for field in dataclasses.fields(counted):
        name = f"xllama_{field.name}"
        family = families.get(name) or families[name.removesuffix("s")]
        [sample] = family.samples
        assert sample.labels == {"model": 'co"der'}
        assert sample.value == pytest.approx(getattr(counted, field.name))
