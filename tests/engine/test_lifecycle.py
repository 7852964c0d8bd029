"""Processes that end, fork and are interrupted: each in a child, so that a failure cannot take the tests along."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.waiting import wait_until

# A program that a shell runs in the background begins with SIGINT ignored, and its children with it.
OPEN = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import xlc_core as xlc
engine = xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=2)
LONG = dict(max_tokens=2000, ignore_eos=True)
"""
FORKING = (
    OPEN
    + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
stream = engine.stream_chat("Count", **LONG)
next(stream)
"""
)


def run(code: str, timeout: float = 60, opening: str = OPEN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", opening + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def assert_clean(done: subprocess.CompletedProcess[str], output: str = "") -> None:
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == output.split()
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(
    "call", ['engine.chat("Count", **LONG)', 'list(engine.stream_complete("Count", **LONG))'], ids=["chat", "stream"]
)
def test_ctrl_c_raises_and_frees_the_slot(call: str) -> None:
    done = run(
        f"""
        def interrupt():
            while not engine.metrics().requests_running:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        while engine.metrics().requests_running:
            time.sleep(0.01)
        print(engine.metrics().generation_tokens)
        print(len(engine.chat("Hi", max_tokens=3).choices))
        """
    )
    *words, n_tokens, n_choices = done.stdout.split()
    assert (words, n_choices, done.stderr) == (["interrupted"], "1", "")
    assert int(n_tokens) < 500  # of 2000; a tenth of a second is some ten tokens


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_ctrl_c_ends_embedding() -> None:
    done = run(
        """
        begun = threading.Event()
        seen = []
        def report(n_done, n_total):
            seen.append(n_done)
            begun.set()
        def interrupt():
            begun.wait()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        embedder = xlc.Engine("all-minilm-l6-v2")
        try:
            embedder.embed(["word " * 300] * 3000, progress=report)
        except KeyboardInterrupt:
            print("interrupted", seen[-1] < 1500, embedder.embed(["next"]).shape[0])
        """,
        opening=OPEN.replace("engine =", "#"),
    )
    assert_clean(done, "interrupted True 1")


def test_ctrl_c_while_loading_gives_up() -> None:
    done = run(
        """
        import xlc_core as xlc
        seen = []
        def progress(done):
            seen.append(done)
            raise KeyboardInterrupt
        try:
            xlc.Engine("smollm2-135m-instruct", progress=progress)
        except KeyboardInterrupt:
            print(len(seen))
        """,
        opening="",
    )
    assert_clean(done, "1")


def test_error_in_progress_callback_reaches_caller() -> None:
    class EnoughError(Exception):
        pass

    def progress(done: float) -> None:
        raise EnoughError

    for model in ("smollm2-135m-instruct", "all-minilm-l6-v2"):
        with pytest.raises(EnoughError):
            xlc.Engine(model, progress=progress)


def test_load_progress_goes_from_0_to_1() -> None:
    seen: list[float] = []
    xlc.Engine("smollm2-135m-instruct", n_ctx=512, progress=seen.append).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_interpreter_exits_with_a_live_engine() -> None:
    assert_clean(run("print('end')"), "end")


def test_interpreter_exits_with_a_live_stream() -> None:
    assert_clean(run("stream = engine.stream_chat('Count', **LONG); print(type(next(stream)).__name__)"), "TextDelta")


def test_interpreter_exits_with_streams_on_daemon_threads() -> None:
    done = run(
        """
        def consume():
            try:
                for event in engine.stream_chat("Count", **LONG):
                    pass
            except xlc.EngineClosedError:
                pass
        for _ in range(4):
            threading.Thread(target=consume, daemon=True).start()
        while engine.metrics().requests_running < 2:
            time.sleep(0.01)
        print("end")
        """
    )
    assert_clean(done, "end")


def test_interpreter_exits_while_a_loop_waits() -> None:
    done = run(
        """
        import asyncio
        async def main():
            task = asyncio.ensure_future(engine.achat("Count", **LONG))
            while not engine.metrics().requests_running:
                await asyncio.sleep(0.01)
        asyncio.run(main())
        print("end")
        """
    )
    assert_clean(done, "end")


def test_interpreter_exits_in_the_middle_of_embedding() -> None:
    done = run(
        """
        embedder = xlc.Engine("all-minilm-l6-v2")
        begun = threading.Event()
        def embed():
            try:
                embedder.embed(["word " * 300] * 3000, progress=lambda *_: begun.set())
            except xlc.EngineClosedError:
                pass
        threading.Thread(target=embed, daemon=True).start()
        begun.wait()
        print("end")
        """
    )
    assert_clean(done, "end")


@pytest.mark.no_sanitizer("it ends a forked child that starts threads", only=("tsan",))
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_gets_a_clear_error_and_can_open_its_own() -> None:
    done = run(
        """
        child = os.fork()
        if child == 0:
            try:
                engine.chat("Hi", max_tokens=3)
            except xlc.EngineFailedError as error:
                assert "fork" in str(error)
                try:
                    list(stream)
                except xlc.EngineFailedError as of_stream:
                    assert "fork" in str(of_stream)
                else:
                    os._exit(2)
                own = xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=1, n_threads=1)
                assert own.chat("Hi", max_tokens=3).usage.completion_tokens == 3
                own.close()
                engine.close()
                sys.exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        stream.close()
        print(os.waitstatus_to_exitcode(status), engine.chat("Hi", max_tokens=3).usage.completion_tokens)
        """,
        opening=FORKING,
    )
    assert_clean(done, "0 3")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_exit_during_engine_work() -> None:
    done = run(
        """
        embedder = xlc.Engine("all-minilm-l6-v2")
        embedding = threading.Thread(target=lambda: list(embedder.embed_stream(["word " * 50] * 60)))
        embedding.start()
        codes = []
        for _ in range(8):
            child = os.fork()
            if child == 0:
                sys.exit(0)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            time.sleep(0.003)
        embedding.join()
        stream.close()
        print(sum(codes), engine.chat("Hi", max_tokens=3).usage.completion_tokens)
        """,
        opening=FORKING,
    )
    assert_clean(done, "0 3")


def test_close_during_a_stream_ends_it_with_an_error() -> None:
    engine = xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=1)
    stream = engine.stream_chat("Count", max_tokens=900, ignore_eos=True)
    next(stream)
    threading.Thread(target=engine.close).start()
    with pytest.raises(xlc.EngineClosedError, match="closed"):
        for _ in stream:
            pass
    assert engine.closed
    for call in (lambda: engine.chat("Hi"), engine.metrics, lambda: engine.tokenize("a"), lambda: engine.embed(["a"])):
        with pytest.raises(xlc.EngineClosedError):
            call()
    engine.close()


def test_close_ends_waiting_requests_too() -> None:
    engine = xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=1)
    errors = []

    def ask() -> None:
        try:
            engine.chat("Count", max_tokens=900, ignore_eos=True)
        except xlc.XllamaError as error:
            errors.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: engine.metrics().requests_waiting == 5)
    engine.close()
    for thread in threads:
        thread.join(60)
    assert errors == [xlc.EngineClosedError] * 6


def test_two_engines_at_once_do_not_disturb_each_other(engine: xlc.Engine) -> None:
    alone = engine.chat("Name a colour.", max_tokens=12, temperature=0, seed=1).text
    with xlc.Engine("smollm2-135m-instruct-q4_1", n_ctx=1024, n_parallel=1) as other:
        answers: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(engine.chat("Name a colour.", max_tokens=12, temperature=0, seed=1).text)
            ),
            threading.Thread(target=lambda: other.chat("Name a colour.", max_tokens=12)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [alone]


@pytest.mark.no_sanitizer("it keeps memory that is freed")
def test_opening_and_closing_leaks_neither_memory_nor_threads() -> None:
    done = run(
        opening="",
        code="""
            import psutil, xlc_core as xlc
            process = psutil.Process()

            def resident_after(rounds):
                for _ in range(rounds):
                    with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=1, warmup=False) as engine:
                        engine.chat("Hi", max_tokens=2)
                        engine.embed(["Hi"])
                return process.memory_info().rss

            before, threads = resident_after(6), process.num_threads()  # until the allocator's arenas have their size
            grown = resident_after(3) - before  # an engine has 150 MB
            print(process.num_threads() - threads <= 0, grown < 40e6 or grown)
        """,
    )
    assert_clean(done, "True True")


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(xlc.ModelNotFoundError, match="nothing-here"):
        xlc.Engine(tmp_path / "nothing-here.gguf")


def test_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.gguf"
    path.write_bytes(b"noise" * 1000)
    with pytest.raises(xlc.ModelLoadError, match="not a GGUF file"):
        xlc.Engine(path)


def test_truncated_model_says_so(tmp_path: Path, smollm2_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(smollm2_path.read_bytes()[: 60 << 20])
    with pytest.raises(xlc.ModelLoadError, match=r"half\.gguf.*(corrupted|incomplete|bounds|size)"):
        xlc.Engine(path)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--no-such-flag"], "no option '--no-such-flag'"),
        (["--ctx-size"], "needs a value"),
        (["--ctx-size", "many"], "--ctx-size"),
        (["--port", "8080"], "has no effect in this process"),
        (["--version"], "has no effect in this process"),
    ],
)
def test_wrong_llama_arg_is_named_and_never_exits(args: list[str], reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        xlc.Engine("smollm2-135m-instruct", llama_args=args)


def test_llama_args_reach_llama_cpp() -> None:
    with xlc.Engine("smollm2-135m-instruct", llama_args=["--ctx-size", "1024", "-np", "2"]) as engine:
        assert (engine.info.n_ctx, engine.info.n_ctx_total, engine.info.n_parallel) == (1024, 1024, 2)


def test_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "256")
    monkeypatch.setenv("LLAMA_ARG_N_PARALLEL", "1")
    with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=2, llama_args=["--threads", "1"]) as engine:
        assert engine.info.n_ctx == 512


def test_opening_leaves_the_process_as_it_was() -> None:
    done = run(
        """
        import signal
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler,
              signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, os.environ == before)
        """,
        opening="import os\nbefore = dict(os.environ)" + OPEN,
    )
    assert_clean(done, "True True True")
