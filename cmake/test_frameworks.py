"""Runs the tests of packages that cannot be installed beside all others, each group in an environment of its own.

    python cmake/test_frameworks.py [--only NAME ...] [--minutes N] [PYTEST_ARGUMENT ...]

An environment is made in build/frameworks/NAME and used again while its requirements are the same; the tests are in
tests/frameworks_outside/NAME. xllama is not compiled again: the files of the project's environment, which runs this
script, are linked into each of them. What failed is listed at the end.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "frameworks_outside"
ENVIRONMENTS = ROOT / "build" / "frameworks"

# A name, which is the folder of its tests, and what pip installs for it. The tests of one take a minute or two.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "adapters": (
        *("xllama[haystack,langchain,litellm,llm,pydantic-ai]", "langchain>=1.2", "langgraph>=1", "mem0ai>=2"),
        "smolagents[litellm]>=1.26",
    ),
    "clients": (
        *("xllama[server]", "langchain-openai>=1", "langchain-tests==1.1.9"),
        *("llama-index-llms-openai-like>=0.4", "llama-index-embeddings-openai-like>=0.2"),
        *("instructor>=1.10", "litellm>=1.80", "openai-agents>=0.6", "cohere>=5.15"),
    ),
    "bulk": ("xllama[jobs]", "daft>=0.7", "dask[dataframe]>=2026.1", "pyspark>=4.1", "pandas>=2.2"),  # also Java 17
    "crewai": ("xllama[litellm]", "crewai[litellm]>=1.15"),
    "dspy": ("xllama[dspy]",),
    "llama_cpp_programs": (
        *("langchain-community>=0.4", "outlines>=1.3", "numba>=0.60", "llama-index-core>=0.14"),
        *("scipy>=1.11", "jinja2>=3.1"),  # llama-cpp-python's own tests
        *("chonkie>=1.7", "faiss-cpu>=1.9", "voyageai>=0.3.4", "pyzmq>=26", "tomli-w>=1.2", "tomli>=2.2"),  # SteadyText
        *("openai>=1.102", "httpx", "requests", "click", "tqdm"),
    ),
    "page": ("xllama[server]", "selenium>=4.20"),  # also Debian's chromium and chromium-driver
    "ray": ("xllama[ray]", "psutil>=6"),
    "schemathesis": ("xllama[server]", "schemathesis>=4.4"),
}
# Installed without what they require: llama-cpp-python, in whose place xllama stands.
ALONE: dict[str, tuple[str, ...]] = {
    "llama_cpp_programs": ("steadytext==2025.11.25", "llama-index-llms-llama-cpp>=0.7"),
}
# All tests need these, by tests/conftest.py and pyproject.toml.
COMMON = ("pytest>=8.3", "pytest-asyncio>=0.25", "pytest-timeout>=2.3", "hypothesis>=6.100", "gguf>=0.17")
OURS = ("xllama", "xllama-models")

# For one environment. Most of it is pip's if the environment is new.
MOST_MINUTES = 15


def site_packages(environment: Path) -> Path:
    """Return the folder of an environment that packages are in."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))


def link_ours(environment: Path) -> None:
    """Put links to xllama's files, as installed for this interpreter, into an environment."""
    target = site_packages(environment)
    for name in OURS:
        installed = distribution(name)
        for file in installed.files or []:
            if ".." in file.parts or "__pycache__" in file.parts:  # programs, and what Python writes itself
                continue
            link = target / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(Path(str(installed.locate_file(file))).resolve())


def prepare(name: str, seconds: float) -> str:
    """Make the environment if it is not there, and return its Python.

    Raises:
        subprocess.SubprocessError: pip failed, or took more than the seconds that are left.
    """
    environment = ENVIRONMENTS / name
    mark = environment / "requirements.txt"
    wanted = "\n".join((sys.version, *COMMON, *REQUIREMENTS[name], *ALONE.get(name, ())))
    python = str(environment / "bin" / "python")
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True)
        link_ours(environment)  # before pip, which then installs what xllama requires, but not xllama
        install = [python, "-m", "pip", "install", "--quiet", *OURS, *COMMON, *REQUIREMENTS[name]]
        subprocess.run(install, cwd=ROOT, check=True, timeout=seconds)
        if alone := ALONE.get(name):
            subprocess.run([*install[:5], "--no-deps", *alone], cwd=ROOT, check=True, timeout=seconds)
        mark.write_text(wanted)
    link_ours(environment)
    return python


def run(name: str, options: list[str]) -> str:
    """Run the tests of one environment; return what went wrong."""
    print(f"\n{name}: {', '.join(REQUIREMENTS[name])}", flush=True)
    end = time.monotonic() + 60 * MOST_MINUTES
    try:
        python = prepare(name, end - time.monotonic())
    except subprocess.SubprocessError as error:
        return f"the environment could not be made: {error}"
    command = [python, "-m", "pytest", "-q", str(TESTS / name), *options]
    try:
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=end - time.monotonic()).returncode
    except subprocess.TimeoutExpired:
        return f"not done after {MOST_MINUTES} minutes"
    return f"pytest returned {code}" if code else ""


def main() -> int:
    """Run them in turns; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=REQUIREMENTS, default=list(REQUIREMENTS), help="default: all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin none after these; default: no limit")
    asked, options = parser.parse_known_args()
    end = time.monotonic() + 60 * asked.minutes
    results = {name: run(name, options) if time.monotonic() < end else None for name in asked.only}
    print(f"\n{list(results.values()).count('')} of {len(results)} environments passed")
    for name, failure in results.items():
        if failure != "":
            reason = "not run: --minutes have passed" if failure is None else failure
            print(f"{name}: {reason} (make test-frameworks ONLY={name})")
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
