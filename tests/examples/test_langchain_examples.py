"""The LangChain examples, run as a user runs them, on the real models."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from helpers.module_files import load_file
from helpers.waiting import await_until, is_idle

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.usefixtures("smollm2_path")


def run(script: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_chat_answers_and_remembers() -> None:
    result = run("chat.py", "--max-tokens", "8", "--temperature", "0", stdin="My name is Ann.\nWho am I?\n\n")
    assert result.returncode == 0, result.stderr
    first, second = [line for line in result.stdout.splitlines() if " read, " in line]
    assert "0 of them cached" in first
    assert int(second.split()[0].strip("[")) > int(first.split()[0].strip("[")) + 10
    assert "0 of them cached" not in second


def test_structured_output_files_every_letter() -> None:
    result = run("structured_output.py")
    assert result.returncode == 0, result.stderr
    for name in ("Ann", "Carlos", "Eva"):
        assert name in result.stdout
    assert "billing" in result.stdout


def test_agent_uses_both_tools_and_answers() -> None:
    result = run("agent.py")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert {line.split("(")[0] for line in lines if line.startswith("calls ")} == {
        "calls get_weather",
        "calls next_train",
    }
    assert "Wear a " in lines[-1]


def test_free_agent_ends_with_answer_too() -> None:
    result = run("agent.py", "--free", "--question", "Give the Advice: it is cold.")
    assert result.returncode == 0, result.stderr
    assert "Wear a " in result.stdout.splitlines()[-1]


def test_every_row_of_csv_is_labelled(tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    rows = [{"text": f"Number {n}, it broke after a day."} for n in range(9)]
    rows[4]["text"] = "word " * 3000
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text"])
        writer.writeheader()
        writer.writerows(rows)
    arguments = [str(source), str(target), "--labels", "praise,complaint", "--parallel", "4"]
    result = run("batch_csv.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert "Labelling" in result.stderr
    assert_labelled(target)
    lines = target.read_text(encoding="utf-8").splitlines()
    kept = lines[:4]
    target.write_text("\n".join(kept) + "\n", encoding="utf-8")
    assert run("batch_csv.py", *arguments, "--resume").returncode == 0
    assert target.read_text(encoding="utf-8").splitlines()[:4] == kept
    assert_labelled(target)


def assert_labelled(target: Path) -> None:
    """Each row is there once, with a label or, the fifth, an error; which label hangs on what shares its steps."""
    with target.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    labelled = {int(row["row"]): row["label"] for row in found}
    assert sorted(int(row["row"]) for row in found) == list(range(1, 10))
    assert labelled.pop(5).startswith("error: the prompt has")
    assert set(labelled.values()) <= {"praise", "complaint"}


def test_csv_without_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    result = run("batch_csv.py", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    assert result.returncode != 0
    assert "has no rows with a column 'text'" in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


class Client:
    """An ASGI server's side of one connection."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in messages:
            self.waiting.put_nowait(message)
        self.sent: list[dict[str, Any]] = []
        self.first = asyncio.Event()

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if message.get("more_body"):
            self.first.set()

    @property
    def body(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


@pytest.fixture(scope="module")
def server() -> ModuleType:
    return load_file(EXAMPLES / "async_server.py")


async def post(server: ModuleType, body: bytes, path: str = "/chat") -> Client:
    client = Client({"type": "http.request", "body": body})
    await server.app({"type": "http", "method": "POST", "path": path}, client.waiting.get, client.send)
    return client


def asking(text: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()


async def test_server_lives_and_answers(server: ModuleType) -> None:
    life = Client({"type": "lifespan.startup"})
    living = asyncio.create_task(server.app({"type": "lifespan"}, life.waiting.get, life.send))
    assert await await_until(lambda: life.sent)
    server.llm.max_tokens = 10
    clients = await asyncio.gather(*(post(server, asking(f"Count to {n}.")) for n in range(3, 9)))
    for client in clients:
        assert client.sent[0]["status"] == 200
        assert client.body.endswith("data: [DONE]\n\n")
        events = [json.loads(part.removeprefix("data: ")) for part in client.body.split("\n\n")[:-2]]
        assert "".join(event.get("text", "") for event in events)
        assert sum("usage" in event for event in events) == 1
    life.waiting.put_nowait({"type": "lifespan.shutdown"})
    await living
    assert [message["type"] for message in life.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_client_that_leaves_frees_its_slot(server: ModuleType) -> None:
    server.llm.max_tokens = 1500
    n_before = server.llm.get_engine().metrics().generation_tokens  # another adapter may have used the engine
    client = Client({"type": "http.request", "body": asking("Tell a long story.")})
    handling = asyncio.create_task(
        server.app({"type": "http", "method": "POST", "path": "/chat"}, client.waiting.get, client.send)
    )
    await client.first.wait()
    client.waiting.put_nowait({"type": "http.disconnect"})
    await handling
    assert await await_until(lambda: is_idle(server.llm._get_engine()))
    assert server.llm._get_engine().metrics().generation_tokens - n_before < 1500
    assert "[DONE]" not in client.body
    server.llm.close()


@pytest.mark.parametrize(
    ("body", "path", "status", "reason"),
    [
        (b"{}", "/chat", 400, "send"),
        (b"no json", "/chat", 400, "send"),
        (asking("word " * 4000), "/chat", 422, "the context holds"),
        (asking("Hi"), "/other", 404, "POST /chat"),
    ],
)
async def test_errors_are_explained(server: ModuleType, body: bytes, path: str, status: int, reason: str) -> None:
    client = await post(server, body, path)
    assert client.sent[0]["status"] == status
    assert reason in client.body
    server.llm.close()
