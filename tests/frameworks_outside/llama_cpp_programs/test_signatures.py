"""Arguments and names are those of llama-cpp-python's source; what is missing is listed here."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from frameworks_outside.llama_cpp_programs.original import original_source
from xlc_core.compat import llama_cpp
from xlc_core.compat.llama_cpp import llama_types

MISSING_METHODS = {"ctx", "eval", "eval_logits", "eval_tokens", "from_ggml_file", "sample"}
PARTS = {
    "llama": ("Llama", "LogitsProcessorList", "MinTokensLogitsProcessor", "StoppingCriteriaList"),
    "llama_cache": ("BaseLlamaCache", "LlamaDiskCache", "LlamaRAMCache"),
    "llama_grammar": ("LlamaGrammar",),
    "llama_speculative": ("LlamaDraftModel", "LlamaPromptLookupDecoding"),
    "llama_tokenizer": ("BaseLlamaTokenizer", "LlamaHFTokenizer", "LlamaTokenizer"),
}
CACHE_ENTRIES = {"__contains__", "__getitem__", "__setitem__", "cache_size"}
OTHER_ARGUMENTS = {"LlamaGrammar.__init__"}  # private in the original


def methods() -> Iterator[tuple[str, str, str, ast.FunctionDef]]:
    for module, classes in PARTS.items():
        tree = ast.parse((original_source() / "llama_cpp" / f"{module}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in classes:
                for function in node.body:
                    is_own = isinstance(function, ast.FunctionDef) and (
                        not function.name.startswith("_") or function.name in ("__init__", "__call__")
                    )
                    if is_own and isinstance(function, ast.FunctionDef):
                        yield module, node.name, function.name, function


def arguments(function: ast.FunctionDef) -> dict[str, Any]:
    """Return the names of a function's arguments, and their defaults where these are literals."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    found = {}
    for argument, default in pairs:
        try:
            found[argument.arg] = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        except ValueError:  # a constant of llama.cpp's
            found[argument.arg] = ...
    return found


def test_methods_and_arguments() -> None:
    missing, different = set(), []
    for module, owner, name, function in methods():
        ours = getattr(getattr(llama_cpp, module, llama_cpp), owner, None) or getattr(llama_cpp, owner)
        if not hasattr(ours, name):
            missing.add(name)
        if name in missing or f"{owner}.{name}" in OTHER_ARGUMENTS or not callable(getattr(ours, name)):
            continue
        parameters = inspect.signature(getattr(ours, name)).parameters
        for argument, default in arguments(function).items():
            if argument in ("self", "cls"):
                continue
            if argument not in parameters:
                different.append(f"{owner}.{name}: {argument}")
            elif default is not ... and (parameters[argument].default or None) != (default or None):
                different.append(f"{owner}.{name}: {argument}={default!r}, here {parameters[argument].default!r}")
    assert missing - CACHE_ENTRIES == MISSING_METHODS
    assert different == []


def test_types_have_the_keys() -> None:
    tree = ast.parse((original_source() / "llama_cpp" / "llama_types.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
            keys = {field.id for field in fields if isinstance(field, ast.Name)}
            assert keys <= getattr(llama_types, node.name).__annotations__.keys(), node.name
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                assert isinstance(target, ast.Name)
                assert hasattr(llama_types, target.id)


@pytest.mark.parametrize("prefix", ["LLAMA_", "GGML_TYPE_", "GGML_NUMA_"])
def test_constants_have_the_values(prefix: str) -> None:
    tree = ast.parse((original_source() / "llama_cpp" / "llama_cpp.py").read_text(encoding="utf-8"))
    theirs: dict[str, Any] = {}
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(name := node.targets[0], ast.Name)
            and name.id.startswith(prefix)
        ):
            try:
                theirs[name.id] = eval(compile(ast.Expression(node.value), name.id, "eval"), {}, theirs)
            except NameError:  # made of llama.cpp's own values
                continue
    ours = {name: value for name, value in llama_cpp.llama_cpp.CONSTANTS.items() if name.startswith(prefix)}
    shared = ours.keys() & theirs.keys()
    assert len(shared) >= len(ours) - 1
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
