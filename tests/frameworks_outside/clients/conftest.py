"""One pool of real models, a server of ours with it, and a table of what passed."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from types import ModuleType

import pytest
import pytest_asyncio

import xlc_core as xlc
from helpers.servers import SMALL_MODELS, running_server

MODULES = pytest.StashKey[dict[str, ModuleType]]()


@pytest.fixture(scope="session")
def pool() -> Iterator[xlc.EnginePool]:
    with xlc.EnginePool({**SMALL_MODELS, "other": "smollm2-135m-instruct-q4_1"}, others="none", n_threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def root(pool: xlc.EnginePool) -> Iterator[str]:
    """The server's address."""
    with running_server(pool) as address:
        yield address


@pytest.fixture(scope="session")
def url(root: str) -> str:
    """The address of OpenAI's API."""
    return f"{root}/v1"


def pytest_configure(config: pytest.Config) -> None:
    """Do not complain of connections that clients leave open, in tests and at the end of the run."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed:ResourceWarning")
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests on one event loop: clients keep connections for later requests, and those belong to a loop."""
    for item in items:
        if pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of docs/clients.md. A module names its packages in CLIENTS; its first line says what is used."""
    modules: dict[str, ModuleType] = terminalreporter.config.stash[MODULES]
    counts = {name: Counter[str]() for name in modules}
    for kind in ("passed", "xfailed", "xpassed", "skipped", "failed", "error"):
        for report in terminalreporter.getreports(kind):
            counts[report.nodeid.partition("::")[0]][kind] += 1
    terminalreporter.write_line("| client | tests | what is used |\n| --- | --- | --- |")
    for name, module in modules.items():
        packages = ", ".join(f"`{package}` {version(package)}" for package in module.CLIENTS)
        found = ", ".join(f"{n} {kind}" for kind, n in counts[name].items())
        used = (module.__doc__ or "").partition("\n")[0]
        terminalreporter.write_line(f"| {packages} | {found} | {used} |")


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[MODULES] = {
        item.nodeid.partition("::")[0]: item.module for item in session.items if isinstance(item, pytest.Function)
    }
