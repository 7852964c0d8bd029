"""llama.cpp's log goes to Python's logging and nowhere else."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import xlc_core as xlc
from xlc_core import logging_bridge


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
