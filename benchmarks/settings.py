"""The common options of the command lines, and the settings that follow from them."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import REQUIREMENTS

import xlc_core as xlc
from xlc_core.hardware import available_cores, cpu_backend

# Options with a value that do not change the measurement.
LOCAL_OPTIONS = frozenset(
    {"--before", "--llama-bench", "--llama-server", "--others-limit", "--peer-python", "--retries", "--write"}
)


_INSTRUCTIONS = ("AVX2", "AVX512_VNNI", "AVX512_BF16", "AMX_INT8", "NEON")


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        n_rounds: rounds that count.
        n_tokens: tokens to generate.
        n_threads: threads for all peers.
        llama_bench: an existing build of llama-bench.
        ready_peers: existing interpreters with a peer, by peer.
        data: file of documents; None: the examples' corpus.
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
        """One sentence about the machine."""
        return (
            f"{_processor()}, {available_cores()} cores, {platform.system()}, Python {platform.python_version()}, "
            f"xllama {xlc.__version__} compiled for {compiled_for()}."
        )


def compiled_for() -> str:
    """Return those of the instruction sets of llama.cpp's CPU library that make a difference for its products."""
    features = cpu_backend().features
    return " and ".join(name for name in _INSTRUCTIONS if name in features) or "any processor"


def add_common_options(parser: argparse.ArgumentParser, n_rounds: int, *, peers: bool = False) -> None:
    """Add the options of all speed benchmarks: rounds, threads, limits for disturbance, the document.

    Args:
        parser: the script's parser.
        n_rounds: default number of rounds.
        peers: whether the script measures other packages.
    """
    parser.add_argument("--rounds", type=int, default=n_rounds, help="rounds that count (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one short round, to check that everything works")
    parser.add_argument("--threads", type=int, help="threads for all peers (default: the physical cores)")
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
    """Return the settings for parsed options.

    Args:
        options: the parsed options.
        arguments: ``sys.argv[1:]``.
        script: its name in benchmarks/.
        **changes: fields that the script sets itself.
    """
    data = getattr(options, "data", None)
    if data is not None and not data.is_file():
        raise SystemExit(f"--data: the file {data} does not exist")
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
    """Return the command line for others: without options that only name files of this machine."""
    kept = []
    skip_value = False
    for argument in arguments:
        if skip_value:
            skip_value = False
        elif argument.partition("=")[0] in LOCAL_OPTIONS:
            skip_value = "=" not in argument
        else:
            kept.append(Path(argument).name if Path(argument).is_file() else argument)
    kernels = os.environ.get("XLLAMA_KERNELS")
    return (f"XLLAMA_KERNELS={kernels} " if kernels else "") + shlex.join(["python", f"benchmarks/{script}", *kept])


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
