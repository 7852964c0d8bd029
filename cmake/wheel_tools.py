"""Common to the makers of wheels: their tools, with fixed versions, and the time and modes of files."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

__all__ = [
    "BUILD",
    "ROOT",
    "TOOLS",
    "build_wheel",
    "fill_tools",
    "run",
    "same_modes",
    "time_of_sources",
    "tool",
    "with_tools",
]

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "wheel"  # deeper than cmake/tidy.py looks
# Inside the checkout, so that nothing names a folder of the machine.
TOOLS = BUILD / "tools"
TOOL_VERSIONS = Path(__file__).with_name("wheel_requirements.txt")


def run(*command: str | Path, **options: object) -> str:
    """Run a program; return what it printed."""
    print("+", *command, flush=True)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


def tool(*command: str | Path, **options: object) -> str:
    """Run a module of the tools' environment; return what it printed."""
    return run(TOOLS / "bin" / "python", "-m", *command, **options)


def fill_tools() -> None:
    """Install the tools for the Python that runs this, if these versions are not there."""
    wanted = TOOL_VERSIONS.read_bytes() + sys.version.encode()
    mark = TOOLS / ".xllama-tools"
    if mark.exists() and mark.read_bytes() == wanted:
        return
    venv.create(TOOLS, clear=True, with_pip=True)
    tool("pip", "install", "--quiet", "--requirement", TOOL_VERSIONS)
    mark.write_bytes(wanted)


def with_tools() -> dict[str, str]:
    """Return this program's environment with the tools' programs before all others."""
    return {**os.environ, "PATH": f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def build_wheel(folder: Path, settings: dict[str, str | Path], platform: str) -> Path:
    """Let pip build xllama's wheel into a folder.

    Args:
        folder: where the wheel goes.
        settings: scikit-build-core's.
        platform: the system that the wheel is for, as Python's sysconfig names it.
    """
    options = [f"--config-settings={name}={value}" for name, value in settings.items()]
    # The second is Python's own variable for compiling across.
    environment = {**with_tools(), "_PYTHON_HOST_PLATFORM": platform}
    tool("pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *options, ROOT, env=environment)
    (wheel,) = folder.glob("xllama-*.whl")
    return wheel


def time_of_sources() -> str:
    """Return the time that all files get, in seconds since 1970: the commit's, or the earliest that a zip can hold."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    shown = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or "315532800"


def same_modes(tree: Path) -> None:
    """Set the modes that files have for most users; a checkout's depend on its owner's settings."""
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
