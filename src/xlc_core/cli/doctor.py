"""``xllama doctor``: what this installation is, what it runs on, and how fast that is."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from xlc_core.errors import XllamaError

__all__ = ["doctor", "report"]

_PACKAGES = (
    *(
        "xllama",
        "xllama-vulkan",
        "xllama-cuda13",
        "xllama-models",
        "nanobind-backend",
        "llguidance",
        "numpy",
        "pydantic",
        "huggingface-hub",
    ),
    *("langchain-core", "langchain", "langgraph", "llama-index-core"),
)
_VARIABLES = (
    *("XLLAMA_MODEL", "XLLAMA_CATALOG", "XLLAMA_CACHE", "XLLAMA_KERNELS", "XLLAMA_BACKENDS"),
    *("CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "VK_DRIVER_FILES", "VK_ICD_FILENAMES"),
    *("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE"),
)
"""Variables that choose what runs."""

_CREDENTIALS = re.compile(r"//[^/@]*@")  # in a URL


def doctor(
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure the machine for some seconds.")] = True,
) -> None:
    """Print versions, processor, devices, settings and speed, to paste into a bug report. Passwords are left out.

    Try:

        xllama doctor --no-speed
    """
    for line in report():
        typer.echo(line)
    from xlc_core.cli.speed_report import advice, speed_report

    for line in speed_report() if speed else ():
        typer.echo(line)
    try:
        found = advice()
    except XllamaError:  # the catalog cannot be read, as the report says
        found = []
    for line in found:
        typer.echo(f"advice: {line}")


def report() -> list[str]:
    """Return the lines of the report. Loads llama.cpp, but no model."""
    from xlc_core import _native
    from xlc_core.cli.gpu_report import gpu_report
    from xlc_core.cli.output import readable_size
    from xlc_core.hardware import available_cores, available_memory, cpu_backend
    from xlc_core.models import catalog

    memory = available_memory()
    lines = [
        f"xllama {_version('xllama')}, llama.cpp {_native.llama_cpp_version()}",
        f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}",
        f"{available_cores()} cores, {'unknown' if memory is None else readable_size(memory)} of memory free",
        *str(cpu_backend()).splitlines(),
        *gpu_report(),
    ]
    lines.append("packages:")
    lines.extend(f"  {name} {found}" for name in _PACKAGES if (found := _version(name)))
    lines.append("models of the catalog on this disk:")
    try:
        lines.extend(f"  {name}" for name, entry in catalog.entries().items() if catalog.present_path(entry))
    except XllamaError as error:
        lines.append(f"  {error}")
    lines.append("environment:")
    lines.extend(f"  {name}={_CREDENTIALS.sub('//…@', os.environ[name])}" for name in _VARIABLES if name in os.environ)
    return lines


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
