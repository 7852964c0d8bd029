"""What the command line of engine.py settles."""

from __future__ import annotations

import platform
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import xlc_core as xlc
from xlc_core.hardware import available_cores


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        n_rounds: rounds that count.
        n_tokens: tokens to generate.
        n_threads: threads for everybody.
        llama_bench: a llama-bench that was built before.
        ready_peers: interpreters that have a peer installed, by peer.
        data: documents to embed; None generates some.
        others_limit: share of the processors that other programs may take during a measurement.
        retries: how often a disturbed measurement is repeated.
        command: the command line, for the document.
    """

    n_rounds: int = 7
    n_tokens: int = 128
    n_threads: int = field(default_factory=available_cores)
    llama_bench: Path | None = None
    ready_peers: dict[str, Path] = field(default_factory=dict)
    data: Path | None = None
    others_limit: float = 0.05
    retries: int = 3
    command: str = "python benchmarks/engine.py"

    @property
    def machine(self) -> str:
        """One sentence on where this ran."""
        return (
            f"{_processor()}, {available_cores()} cores, {platform.system()}, Python {platform.python_version()}, "
            f"xllama {xlc.__version__}."
        )


def written_command(arguments: list[str], unwritten: frozenset[str]) -> str:
    """The command line as others can give it: options that only name files of this machine are left away.

    Args:
        arguments: ``sys.argv[1:]``.
        unwritten: options, each with a value, that do not change what is measured.
    """
    kept = []
    skip_value = False
    for argument in arguments:
        if skip_value:
            skip_value = False
        elif argument.partition("=")[0] in unwritten:
            skip_value = "=" not in argument
        else:
            kept.append(Path(argument).name if Path(argument).is_file() else argument)
    return shlex.join(["python", "benchmarks/engine.py", *kept])


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
