"""Runs the Python blocks of a page as a reader would paste them: from the top, each after those above it.

A block that begins with a comment ``# Downloads …`` or ``# Needs …`` cannot run here; it is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import xlc_core as xlc
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.tiny_models import with_metadata, write_byte_llama
from xlc_core.models import catalog

_FENCE = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"# (?:Downloads|Needs) ")
_AT_HAND = {"embedding": "all-minilm-l6-v2", "reranker": "xllama-rerank-mini"}


@dataclass(frozen=True)
class Block:
    """A block of Python in a page.

    Attributes:
        page: the page's file.
        line: of the first line of code, from 1.
        code: the lines between the fences.
    """

    page: Path
    line: int
    code: str

    @property
    def is_run(self) -> bool:
        """Whether the block needs nothing that tests do not have."""
        return not _NOT_RUN.match(self.code)

    @property
    def modules(self) -> set[str]:
        """The packages that the block imports."""
        nodes = list(ast.walk(ast.parse(self.code)))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        return {name.split(".")[0] for name in names}

    def names(self, kind: type[ast.expr_context]) -> set[str]:
        """Return the names that the block loads, or those that it stores: variables, imports, functions, classes."""
        nodes = list(ast.walk(ast.parse(self.code)))
        names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, kind)}
        if kind is ast.Store:
            names |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
            names |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
        return names

    def compile(self) -> Any:
        """Return the code, which may await at its top as notebooks and ``python -m asyncio`` allow."""
        text = "\n" * (self.line - 1) + self.code
        return compile(text, str(self.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, from the top."""
    text = page.read_text("utf-8")
    return [Block(page, text.count("\n", 0, found.start()) + 2, found[1]) for found in _FENCE.finditer(text)]


def split_by_packages(blocks: list[Block]) -> tuple[list[Block], set[str]]:
    """Return the blocks that can run with the packages of this environment, and the packages that the others lack.

    A block that uses a name of a block that is left out is left out too.
    """
    kept: list[Block] = []
    missing: set[str] = set()
    lost: set[str] = set()
    for block in blocks:
        lacks = {name for name in block.modules if block.is_run and importlib.util.find_spec(name) is None}
        missing |= lacks
        if lacks or block.names(ast.Load) & lost:
            lost |= block.names(ast.Store)
        else:
            lost -= block.names(ast.Store)
            kept.append(block)
    return kept, missing


def write_small_catalog(folder: Path) -> Path:
    """Write a catalog whose models are all on this machine, and return its file.

    Chat models are tiny ones with random weights, so that a page takes seconds: SmolLM2's name is one that answers at
    once, any other name one that thinks. Any embedder and any reranker is the small one that tests have anyway.
    """
    plain = write_byte_llama(folder / "plain.gguf", n_ctx=32768)
    thinking = with_metadata(plain, folder / "thinking.gguf", tokenizer__chat_template=THINKING_TEMPLATE)
    paths = {kind: catalog.resolve(name).path for kind, name in _AT_HAND.items()} | {"chat": thinking}
    tables = []
    for name, entry in catalog.entries().items():
        path = plain if name == "smollm2-135m-instruct" else paths[entry.kind]
        source = json.dumps(f"file:{path}")
        tables.append(f'["{name}"]\ndescription = "-"\nlicense = "MIT"\nkind = "{entry.kind}"\nsource = {source}\n')
    file = folder / "catalog.toml"
    file.write_text("\n".join(tables), "utf-8")
    return file


def run_blocks(blocks: list[Block]) -> None:
    """Compile all blocks and run those that can run, in one namespace and one event loop."""
    codes = [(block, block.compile()) for block in blocks]
    with _page_module() as namespace, _event_loop() as loop:
        for block, code in codes:
            if block.is_run:
                result = eval(code, namespace)
                if inspect.iscoroutine(result):
                    loop.run_until_complete(result)


@contextmanager
def _page_module() -> Iterator[dict[str, Any]]:
    """Yield the namespace of a module that can be imported, as annotations and pickles need; close its engines."""
    module = ModuleType("pasted_page")
    sys.modules[module.__name__] = module
    try:
        yield vars(module)
    finally:
        _close_engines(vars(module))
        del sys.modules[module.__name__]
        vars(module).clear()
        gc.collect()


def _close_engines(namespace: Mapping[str, Any]) -> None:
    for value in list(namespace.values()):
        if isinstance(value, (xlc.Engine, xlc.EnginePool)):
            value.close()


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield a loop that is also the thread's own: what runs coroutines for a caller takes it, and leaves it open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
