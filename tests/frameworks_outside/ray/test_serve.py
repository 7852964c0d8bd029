"""The server on Ray Serve: replicas that die, replacement, and prompt caches that are hit."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import ray
from ray import serve

import xlc_core as xlc
from helpers.ray_workers import processes
from helpers.servers import running_server
from xlc_jobs.serve import deployment

# Ray leaves files and sockets to the end of the process, and warns about its own future.
pytestmark = pytest.mark.filterwarnings("default")

MODEL = "smollm2-135m-instruct"
SMALL = {"n_ctx": 1024, "n_parallel": 4}
CHAT = "/v1/chat/completions"


def new_app(**options: Any) -> Any:
    return deployment(MODEL, **{"replicas": 2, "n_cores": 1, "engine_options": SMALL, **options})


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init("local", num_cpus=4, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(new_app(), route_prefix="/")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=240) as opened:
            yield opened
    finally:
        serve.shutdown()
        ray.shutdown()


def ask(client: httpx.Client, *texts: str, **options: Any) -> httpx.Response:
    """Ask in a conversation of texts, the user's first and in turns with the assistant's."""
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return client.post(CHAT, json={"model": MODEL, "messages": messages, "max_tokens": 4, "temperature": 0, **options})


def test_it_answers_like_the_server(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [MODEL]
    answer = ask(client, "Hello").json()
    assert answer["usage"]["completion_tokens"] <= 4
    lines = [line for line in ask(client, "Hello", stream=True).text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    text = "".join(
        choice["delta"].get("content") or ""
        for line in lines[:-1]
        for choice in json.loads(line.removeprefix("data: "))["choices"]
    )
    assert text == answer["choices"][0]["message"]["content"]


def test_errors_and_refusals_are_the_servers(client: httpx.Client) -> None:
    assert ask(client, "a", max_tokens=-1).status_code == 400
    assert client.post(CHAT, content=b"{").status_code == 400
    assert client.get("/nothing").status_code == 404
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 403


def cached_tokens(client: httpx.Client, mark: str) -> int:
    """Return the cached tokens of four conversations of three turns each, asked in turns."""
    conversations = [[f"{mark} {number}: tell me of mountains and rivers, please."] for number in range(4)]
    total = 0
    for _ in range(3):
        for texts in conversations:
            answer = ask(client, *texts).json()
            total += answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            texts += [answer["choices"][0]["message"]["content"], "And then? Tell me more of it."]
    return total


def test_turns_of_a_conversation_find_its_cache(client: httpx.Client) -> None:
    """With two replicas a conversation finds as much in the cache as with one, or nearly."""
    with (
        xlc.EnginePool({MODEL: {"model": MODEL, **SMALL}}, others="none") as pool,
        running_server(pool) as address,
        httpx.Client(base_url=address, timeout=240) as alone,
    ):
        expected = cached_tokens(alone, "one")
    assert expected > 0
    assert cached_tokens(client, "two") >= 0.8 * expected


def in_parallel(client: httpx.Client, n_requests: int, during: Any) -> list[int]:
    """Return the statuses of requests that are made while something happens."""
    statuses: list[int] = []

    def work(number: int) -> None:
        statuses.extend(
            ask(client, f"Question {number}.{turn}", max_tokens=16).status_code for turn in range(n_requests)
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    during()
    for thread in threads:
        thread.join()
    return statuses


def test_killed_replica_loses_no_request(client: httpx.Client) -> None:
    def kill() -> None:
        replicas = processes("ServeReplica:default:engines")
        assert len(replicas) == 2
        replicas[0].kill()

    assert in_parallel(client, 5, kill) == [200] * 30


def test_replacement_loses_no_request(client: httpx.Client) -> None:
    before = {process.pid for process in processes("ServeReplica:default:engines")}

    def replace() -> None:
        serve.run(new_app(engine_options={**SMALL, "n_ctx": 768}), route_prefix="/")

    assert in_parallel(client, 8, replace) == [200] * 48
    assert not before & {process.pid for process in processes("ServeReplica:default:engines")}


@pytest.mark.parametrize(
    "options", [{"replicas": 0}, {"replicas": (3, 2)}, {"engine_options": {"n_cxt": 5}}, {"no_such_option": 1}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(xlc.InvalidRequestError):
        new_app(**options)


def test_replicas_follow_the_load_between_limits() -> None:
    engines = new_app(replicas=(1, 5))._bound_deployment.init_args[0]._bound_deployment
    scaling = engines._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (1, 5, 4)
