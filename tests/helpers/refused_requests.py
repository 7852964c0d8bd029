"""A program that sends wrong requests of many kinds, and prints by how much each kind makes the process grow.

    python -m helpers.refused_requests N

It prints a JSON object: bytes by kind, for N requests each after a tenth as many that fill caches and pools.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

MODELS = Path(__file__).parents[1] / "model_files"
PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}}


def calls(folder: Path) -> dict[str, Callable[[int], object]]:
    """Return a call for each kind of refused request; it gets a number, so that no two requests need be the same."""
    chat = xlc.Engine(write_byte_llama(folder / "llama.gguf"), n_ctx=512, n_parallel=2, n_threads=1)
    embedder = xlc.Engine(MODELS / "bert-embedder.gguf", n_threads=1)
    reranker = xlc.Engine(MODELS / "bert-reranker.gguf", n_threads=1)
    closed = xlc.Engine(MODELS / "llama.gguf", n_ctx=128, n_threads=1)
    closed.close()
    session = folder / "wrong.session"
    session.write_bytes(b"no session\n" * 50)

    def tool(parameters: Any) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": "look", "parameters": parameters}}]

    wrong: Any = None
    return {
        "option": lambda n: chat.chat("Hi", temperature=-1 - n),
        "unknown option": lambda n: chat.chat("Hi", **{f"option_{n}": 1}),  # type: ignore[arg-type]
        "message": lambda n: chat.chat([{"role": f"robot {n}", "content": "Hi"}]),
        "content": lambda n: chat.chat([{"role": "user", "content": [{"type": f"smell {n}"}]}]),
        "text": lambda n: chat.chat(f"{n} \ud800"),
        "picture": lambda n: chat.chat([xlc.Message(role="user", content=[xlc.ImagePart(data=b"%d" % n)])]),
        "tool": lambda n: chat.chat("Hi", tools=tool({"type": f"strange {n}"}), tool_choice="look"),
        "tool choice": lambda n: chat.chat("Hi", tools=tool(PERSON), tool_choice=f"tool_{n}"),
        "schema": lambda n: chat.chat("Hi", constraint={"type": f"strange {n}"}),
        "regular expression": lambda n: chat.chat("Hi", constraint=xlc.Regex(f"({n}")),
        "grammar": lambda n: chat.chat("Hi", constraint=xlc.Gbnf(f'root ::= "{n}" (')),
        "lark": lambda n: chat.chat("Hi", constraint=xlc.Lark(f'start: "{n}" (')),
        "long prompt": lambda n: chat.complete(f"{n} " + "long " * 500),
        "long chat": lambda n: chat.chat(f"{n} " + "long " * 500),
        "adapter": lambda n: chat.chat("Hi", lora={f"adapter {n}": 1.0}),
        "session": lambda _: chat.load_session(session),
        "reranking by a chat model": lambda n: chat.rerank("query", [f"text {n}"]),
        "wrong texts": lambda _: embedder.embed(wrong),
        "too many dimensions": lambda n: embedder.embed(["text"], dimensions=10_000 + n),
        "chat of an embedder": lambda n: embedder.chat(f"Hi {n}"),
        "documents": lambda _: reranker.rerank("query", [wrong]),
        "decision": lambda n: chat.decide(f"{n}", {"a": {"type": "noul", "instructions": "?"}}),
        "closed engine": lambda n: closed.chat(f"Hi {n}"),
        "model file": lambda _: xlc.Engine(session),
    }


def resident_bytes() -> int:
    """Return the memory that the process uses now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def refuse(call: Callable[[int], object], number: int) -> None:
    """Make a call that must raise an error of ours."""
    try:
        call(number)
    except xlc.XllamaError:
        return
    raise AssertionError("the request was not refused")


def main() -> None:
    n_calls = int(sys.argv[1])
    growth = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, call in calls(Path(folder)).items():
            try:
                for number in range(n_calls // 10):
                    refuse(call, number)
                gc.collect()
                before = resident_bytes()
                for number in range(n_calls):
                    refuse(call, n_calls + number)
            except Exception as error:
                raise AssertionError(f"{kind}: {type(error).__name__}: {error}") from error
            gc.collect()
            growth[kind] = resident_bytes() - before
    print(json.dumps(growth))


if __name__ == "__main__":
    main()
