"""What the command lines have in common, and what they settle."""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import REQUIREMENTS

import xlc_core as xlc
from xlc_core.hardware import available_cores

# Each takes a value; they do not change what is measured.
LOCAL_OPTIONS = frozenset(
    {"--before", "--llama-bench", "--llama-server", "--others-limit", "--peer-python", "--plot", "--retries", "--write"}
)


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        n_rounds: rounds that count.
        n_tokens: tokens to generate.
        n_threads: threads for everybody.
        llama_bench: a llama-bench that was built before.
        ready_peers: interpreters that have a peer installed, by peer.
        data: documents; None takes others, always the same.
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
    command: str = ""

    @property
    def machine(self) -> str:
        """One sentence on where this ran."""
        return (
            f"{_processor()}, {available_cores()} cores, {platform.system()}, Python {platform.python_version()}, "
            f"xllama {xlc.__version__}."
        )


def add_common_options(parser: argparse.ArgumentParser, n_rounds: int, *, peers: bool = False) -> None:
    """Add what benchmarks take that measure speed: rounds, threads, how to treat disturbance, where to write.

    Args:
        parser: of the script.
        n_rounds: rounds by default.
        peers: whether the script measures other packages.
    """
    parser.add_argument("--rounds", type=int, default=n_rounds, help="rounds that count (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round, little of everything: does it work?")
    parser.add_argument("--threads", type=int, help="threads for everybody (default: the physical cores)")
    parser.add_argument(
        "--others-limit", type=float, default=0.05, metavar="SHARE",
        help="repeat a measurement during which other programs took more of the processors (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--retries", type=int, default=3, help="how often (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="put the tables into this document")
    if peers:
        parser.add_argument(
            "--peer-python", action="append", default=[], metavar="PEER=PATH", type=_peer_and_path,
            help=f"the interpreter of an environment that has a peer ({', '.join(REQUIREMENTS)}) installed",
        )  # fmt: skip


def _peer_and_path(pair: str) -> tuple[str, Path]:
    peer, _, path = pair.partition("=")
    if peer not in REQUIREMENTS or not path:
        raise argparse.ArgumentTypeError(f"PEER=PATH with one of {', '.join(REQUIREMENTS)}, got {pair!r}")
    return peer, Path(path)


def settings_of(options: argparse.Namespace, arguments: list[str], script: str, **changes: Any) -> Settings:
    """What the common options settle.

    Args:
        options: parsed.
        arguments: ``sys.argv[1:]``.
        script: in benchmarks/.
        **changes: fields that the script settles itself.
    """
    data = getattr(options, "data", None)
    if data is not None and not data.is_file():
        raise SystemExit(f"--data: there is no file {data}")
    common: dict[str, Any] = {
        "n_rounds": 1 if options.quick else options.rounds,
        "n_threads": options.threads or available_cores(),
        "ready_peers": dict(getattr(options, "peer_python", [])),
        "data": data,
        "others_limit": options.others_limit,
        "retries": 0 if options.quick else options.retries,
        "command": written_command(arguments, script),
    }
    return Settings(**{**common, **changes})


def written_command(arguments: list[str], script: str) -> str:
    """The command line as others can give it: options that only name files of this machine are left away."""
    kept = []
    skip_value = False
    for argument in arguments:
        if skip_value:
            skip_value = False
        elif argument.partition("=")[0] in LOCAL_OPTIONS:
            skip_value = "=" not in argument
        else:
            kept.append(Path(argument).name if Path(argument).is_file() else argument)
    return shlex.join(["python", f"benchmarks/{script}", *kept])


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
