"""The public names, and their documentation."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

import xlc_core

# Packages, and what an environment needs for each. Some only those of `make test-frameworks` have.
NEEDS = {
    "xlc_dspy": "dspy",
    "xlc_haystack": "haystack",
    "xlc_jobs": "pyarrow",
    "xlc_langchain": "langchain_core",
    "xlc_litellm": "litellm",
    "xlc_llamaindex": "llama_index",
    "xlc_llm": "llm",
    "xlc_pydantic_ai": "pydantic_ai",
    "xlc_server": "starlette",
}
PACKAGES = [
    "xlc_core",
    "xlc_core.compat.llama_cpp",
    *(package for package, needed in NEEDS.items() if find_spec(needed)),
]


def names_of(package: str) -> list[Any]:
    return [pytest.param(package, name, id=f"{package}.{name}") for name in importlib.import_module(package).__all__]


EVERY_NAME = [name for package in PACKAGES for name in names_of(package)]


@pytest.mark.parametrize(("package", "name"), EVERY_NAME)
def test_public_name_is_documented(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):  # a type's other name, documented where it is
        return
    own = vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)
    assert own, f"{package}.{name} has no docstring"
    assert not own.startswith(f"{name}("), "that is dataclass's, not ours"
    if inspect.isclass(value):
        for method_name, method in vars(value).items():
            is_public = not method_name.startswith("_") and isinstance(method, (types.FunctionType, property))
            assert not is_public or inspect.getdoc(getattr(value, method_name)), f"{package}.{name}.{method_name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_else_public_leaks(package: str) -> None:
    module = importlib.import_module(package)
    leaked = {
        name
        for name in dir(module)
        if not name.startswith("_")
        and not isinstance(getattr(module, name), types.ModuleType)
        and name not in module.__all__
    }
    assert leaked <= {"annotations"}
    assert len(module.__all__) == len(set(module.__all__))
    assert module.__doc__


# Classes that users get from the engine and never construct.
MADE_BY_THE_ENGINE = {
    *("AsyncEmbeddingStream", "AsyncEventStream", "EmbeddingStream", "EngineLease", "EventStream"),
    "PoolLease",
}


def signatures(name: str) -> Iterator[tuple[str, Any]]:
    """Yield the functions of a public name: itself, or a class's own ones and its fields."""
    value = getattr(xlc_core, name)
    if inspect.isfunction(value):
        yield name, value
    if not inspect.isclass(value):
        return
    for cls in value.__mro__:
        if not cls.__module__.startswith("xlc_core"):
            continue
        yield f"{name} ({cls.__name__})", cls
        for key, member in vars(cls).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            is_public = not key.startswith("_") or (key == "__init__" and name not in MADE_BY_THE_ENGINE)
            if is_public and inspect.isfunction(function):
                yield f"{name}.{key}", function


def names_in(annotations: dict[str, Any]) -> Iterator[str]:
    """Yield the names that annotations consist of, as the source has them."""
    for name, annotation in annotations.items():
        if isinstance(annotation, str) and not name.startswith("_") and not annotation.startswith("ClassVar"):
            nodes = list(ast.walk(ast.parse(annotation, mode="eval")))
            metadata = {node.func for node in nodes if isinstance(node, ast.Call)}  # what Annotated carries
            yield from (node.id for node in nodes if isinstance(node, ast.Name) and node not in metadata)


def own_types() -> set[str]:
    """Return what the modules of the core define and name in their annotations."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(xlc_core.__path__, "xlc_core.")]
    return {name for module in modules for name in getattr(module, "__all__", ())} | {"_native", "Explanation"}


def test_types_in_public_signatures_can_be_imported() -> None:
    ours = own_types()
    found: set[str] = set()
    for name in xlc_core.__all__:
        for place, thing in signatures(name):
            used = set(names_in(inspect.get_annotations(thing))) & ours
            found |= used
            assert used <= set(xlc_core.__all__), place
    assert {"MessageLike", "ToolLike", "ChatKwargs", "InfillFiles", "LoadProgress", "Explanation", "Pooling"} <= found


def test_importing_core_loads_llama_cpp_with_its_first_name_only() -> None:
    code = (
        "import sys, xlc_core\n"
        "light = 'xlc_core._native' not in sys.modules\n"
        "xlc_core.Engine\n"
        "print(light, 'xlc_core._native' in sys.modules, set(xlc_core.__all__) == set(xlc_core._MODULES))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


def test_names_are_sorted_where_readers_look_them_up() -> None:
    for package in PACKAGES:
        names = importlib.import_module(package).__all__
        assert list(names) == sorted(names)


def test_core_imports_no_framework() -> None:
    code = (
        "import sys, xlc_core\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('langchain_core', 'llama_index', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_form_one_tree_and_survive_pickling() -> None:
    import pickle

    import xlc_core as xlc

    errors = [value for name in xlc.__all__ if inspect.isclass(value := getattr(xlc, name)) and name.endswith("Error")]
    assert len(errors) == 13
    for cls in errors:
        assert issubclass(cls, xlc.XllamaError)
        numbers = {"ContextOverflowError": (9, 8), "InputTooLongError": (1, 9, 8)}.get(cls.__name__, ())
        error = cls("why", *numbers)
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (cls, "why", vars(error))
