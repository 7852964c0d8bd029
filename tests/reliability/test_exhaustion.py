"""A process that runs out of memory or disk: the call that needed more fails, and nothing is lost.

The limits are those of a process, so each test is a child.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from helpers.children import run_child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets limits that only Linux enforces")

OPENING = """
import resource
from helpers.tiny_models import write_byte_llama
WEIGHTS = write_byte_llama(FOLDER / "llama.gguf")
OPTIONS = dict(n_ctx=512, n_parallel=2, n_threads=1)

def limit(kind, value):
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))

def outcome(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "ok"
"""


def run(code: str, folder: Path) -> list[str]:
    """Run a program and return the lines that it printed."""
    return run_child(f"FOLDER = Path({str(folder)!r})\n{OPENING}{textwrap.dedent(code)}").splitlines()


def test_full_disk_leaves_old_files_and_no_new_ones(tmp_path: Path) -> None:
    lines = run(
        """
        from xlc_core.models.quantize import quantize_model
        engine = xlc.Engine(WEIGHTS, **OPTIONS)
        engine.chat("hello " * 20, max_tokens=4)
        session = FOLDER / "a.session"
        engine.save_session(session)
        old = session.read_bytes()
        limit(resource.RLIMIT_FSIZE, 2000)
        print(outcome(lambda: engine.save_session(session)))
        print(outcome(lambda: engine.save_session(FOLDER / "b.session")))
        print(outcome(lambda: quantize_model(WEIGHTS, FOLDER / "small.gguf", "Q8_0")))
        print(session.read_bytes() == old, *sorted(path.name for path in FOLDER.iterdir()))
        limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        print(outcome(lambda: engine.chat("Hi", max_tokens=2)), outcome(lambda: engine.load_session(session)))
        """,
        tmp_path,
    )
    assert lines == ["OSError", "OSError", "ModelLoadError", "True a.session llama.gguf", "ok ok"]


def test_full_disk_ends_a_download(tmp_path: Path) -> None:
    lines = run(
        """
        import os
        from helpers.hub_server import HubServer
        os.environ["HF_HOME"] = str(FOLDER / "hub")
        weights = WEIGHTS.read_bytes()
        with HubServer(repos={"org/model": {"llama.gguf": weights}}) as hub:
            os.environ["HF_ENDPOINT"] = hub.url
            limit(resource.RLIMIT_FSIZE, 20_000)
            print(outcome(lambda: xlc.Engine("hf:org/model:llama.gguf", **OPTIONS)))
            limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
            with xlc.Engine("hf:org/model:llama.gguf", **OPTIONS) as engine:
                print(outcome(lambda: engine.chat("Hi", max_tokens=2)))
        """,
        tmp_path,
    )
    assert lines == ["ModelNotFoundError", "ok"]


@pytest.mark.no_sanitizer("it reserves terabytes of addresses, which RLIMIT_AS counts")
def test_exhausted_memory_fails_one_call(tmp_path: Path) -> None:
    """With no address space left, what needs more is refused, and the engines go on when there is memory again."""
    lines = run(
        """
        chat = xlc.Engine(WEIGHTS, **OPTIONS)
        embedder = xlc.Engine(MODELS / "bert-embedder.gguf", n_threads=1)
        stream = chat.stream_complete("a", max_tokens=300, ignore_eos=True)
        next(stream)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit(resource.RLIMIT_AS, used)
        person = {"type": "object", "properties": {"age": {"type": "integer"}}}
        print(outcome(lambda: xlc.Engine(WEIGHTS, **{**OPTIONS, "n_ctx": 2048})))
        print(outcome(lambda: xlc.Engine(MODELS / "bert-embedder.gguf", n_threads=1)))
        # First llguidance cannot be opened, then the stack to compile on cannot be had.
        outcomes = []
        for room in (0, 2, 100):
            limit(resource.RLIMIT_AS, used + (room << 20))
            outcomes.append(outcome(lambda: chat.chat("Hi", constraint=person, max_tokens=8)))
        print(*outcomes)
        limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
        print(stream.result().usage.completion_tokens)
        print(outcome(lambda: chat.chat("Hi", constraint=person, max_tokens=8)))
        print(outcome(lambda: embedder.embed(["Hi"])), outcome(lambda: xlc.Engine(WEIGHTS, **OPTIONS).close()))
        """,
        tmp_path,
    )
    # An assertion of ggml says "not enough memory" in its own words.
    assert set(lines[:2]) <= {"InsufficientMemoryError", "ModelLoadError"}
    assert lines[2:] == [" ".join(["InsufficientMemoryError"] * 3), "300", "ok", "ok ok"]
