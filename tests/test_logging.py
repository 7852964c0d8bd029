"""llama.cpp's log goes to Python's logging and nowhere else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core import _native, logging_bridge
from xlc_core.logger import escape_line, logger


def open_and_close() -> None:
    xlc.Engine("smollm2-135m-instruct", n_ctx=256, n_parallel=1, warmup=False).close()


def test_records_reach_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="xllama"):
        open_and_close()
    records = [record for record in caplog.records if record.name == "xllama"]
    assert any("llama_model_loader" in record.message or "print_info" in record.message for record in records)
    assert {record.levelname for record in records} >= {"DEBUG", "INFO"}
    assert not any(record.message.endswith("\n") for record in records)


def test_records_below_level_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="xllama"):
        open_and_close()
        assert caplog.records == []
    with caplog.at_level(logging.INFO, logger="xllama"):
        open_and_close()
        assert all(record.levelno >= logging.INFO for record in caplog.records)


@pytest.mark.parametrize(
    "use",
    [
        "xlc.Engine('smollm2-135m-instruct', n_ctx=512, n_parallel=1).chat('Hi', max_tokens=2)",
        "xlc.Engine('all-minilm-l6-v2').embed(['Hi'])",
        "xlc.Engine('xllama-rerank-mini').rerank('Hi', ['Hi'])",
    ],
)
def test_nothing_is_written_to_stdout_or_stderr(use: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import xlc_core as xlc; {use}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_logging_to_stderr_works_until_interpreter_ends() -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG)\n"
        "import xlc_core as xlc\n"
        "xlc.Engine('smollm2-135m-instruct', n_ctx=256, n_parallel=1, warmup=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "DEBUG:xllama:" in done.stderr
    assert "Traceback" not in done.stderr


def test_handler_error_is_reported_without_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))
    logger = logging.getLogger("xllama")
    monkeypatch.setattr(logger, "handlers", [Broken()])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.DEBUG)
    try:
        with xlc.Engine("smollm2-135m-instruct", n_ctx=256, n_parallel=1, warmup=False) as engine:
            assert engine.chat("Hi", max_tokens=2, ignore_eos=True).usage.completion_tokens == 2
    finally:
        logger.setLevel(logging.NOTSET)
        logging_bridge.sync_level()
    assert set(reported) == {ZeroDivisionError}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("uses_it_first", [False, True])
def test_forked_child_logs_too(uses_it_first: bool) -> None:
    """A worker that was forked opens its own engine; the parent's thread for lines is not there."""
    code = (
        "import logging, os, sys\n"
        "import xlc_core as xlc\n"
        "class Count(logging.Handler):\n"
        "    n = 0\n"
        "    def emit(self, record):\n"
        "        Count.n += 1\n"
        "logging.getLogger('xllama').addHandler(Count())\n"
        "logging.getLogger('xllama').setLevel(logging.DEBUG)\n"
        "def open_one():\n"
        "    xlc.Engine(sys.argv[1], n_ctx=256, n_parallel=1, warmup=False, n_threads=1).close()\n"
        "if sys.argv[2] == 'True':\n"
        "    open_one()\n"
        "Count.n = 0\n"
        "child = os.fork()\n"
        "open_one()\n"
        "xlc._native.stop_logging()\n"  # delivers the lines that were collected
        "if child == 0:\n"
        "    os._exit(0 if Count.n > 10 else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert Count.n > 10\n"
    )
    model = Path(__file__).parent / "model_files" / "llama.gguf"
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(uses_it_first)], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nERROR:root:forged", r"a\nERROR:root:forged"),
        ("a\rb", r"a\rb"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("a\u2028b\u202ec", r"a\u2028b\u202ec"),
        ("\x85\x9b\x7f", r"\x85\x9b\x7f"),
        ("a\tb ä 日本 100 %", "a\tb ä 日本 100 %"),
    ],
)
def test_record_is_one_line_whatever_it_quotes(caplog: pytest.LogCaptureFixture, text: str, line: str) -> None:
    with caplog.at_level(logging.INFO, logger="xllama"):
        logger.info("the model %s", text)
        logging_bridge._deliver(logging.INFO, f"the model {text}\n".encode())
    assert [record.getMessage() for record in caplog.records] == [f"the model {line}"] * 2
    assert escape_line(text) == line


def test_name_in_model_file_forges_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = write_byte_llama(tmp_path / "m.gguf", name="llama\nxllama: ERROR forged\x1b[0m")
    with caplog.at_level(logging.DEBUG, logger="xllama"):
        xlc.Engine(model, n_ctx=256, n_parallel=1, warmup=False, n_threads=1).close()
        _native.stop_logging()
        _native.set_log_sink(logging_bridge._deliver)
    assert any("forged" in record.getMessage() for record in caplog.records)
    assert not any("\n" in record.getMessage() or "\x1b" in record.getMessage() for record in caplog.records)
    assert all(record.levelno < logging.WARNING for record in caplog.records)  # a part after a break is a record
