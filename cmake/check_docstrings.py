"""Check that every public name has a docstring, with a line for each parameter and each field.

    python cmake/check_docstrings.py

Public are the names in ``__all__`` of the packages of src/, and of the modules named below. The sources are read, not
imported. A method of a class with bases may inherit its docstring; tests/test_public_names.py checks that it has one.
The keyword arguments in options/kwargs.py are described by the options that they are generated from. Prints file, line
and what is missing, and exits with 1.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MORE_MODULES = ("xlc_core.testing", "xlc_core.frameworks", "xlc_core.benchmarking")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Public(NamedTuple):
    """A public name.

    Attributes:
        name: the name, after that of its class.
        file: the file that defines it.
        body: the statements among which it is defined.
        node: its definition.
    """

    name: str
    file: Path
    body: list[ast.stmt]
    node: Definition


def main() -> int:
    """Check all names, print what is missing, and return the exit status."""
    sources = ROOT / "src"
    packages = sorted(path.parent.name for path in sources.glob("xlc_*/__init__.py"))
    missing = [line for module in (*packages, *MORE_MODULES) for line in check_module(sources, module)]
    print("\n".join(dict.fromkeys(missing)), end="\n" if missing else "")
    return 1 if missing else 0


def check_module(sources: Path, module: str) -> Iterator[str]:
    """Yield a line for each thing that lacks a description among a module's public names."""
    for public in public_names(sources, module):
        where = f"{public.file.relative_to(sources.parent)}:{public.node.lineno}: {public.name}"
        for lack in lacks(public):
            yield f"{where}: {lack}"


def public_names(sources: Path, module: str) -> Iterator[Public]:
    """Yield the definitions of the names in a module's ``__all__``."""
    file = _file_of(sources, module)
    tree = ast.parse(file.read_text("utf-8"))
    homes = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for name in _listed(tree):
        home = homes.get(name, module)
        found = _file_of(sources, home)
        body = ast.parse(found.read_text("utf-8")).body
        for node in _top_level(body):
            if name in _names_of(node):
                yield Public(name, found, body, node)


def lacks(public: Public) -> Iterator[str]:
    """Yield what the description of a name lacks."""
    node = public.node
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        if not _text_below(public.body, node):
            yield "no text below it"
    elif isinstance(node, ast.ClassDef):
        yield from _lacks_of_class(node)
    else:
        yield from _lacks_of_function(node)


def _lacks_of_class(node: ast.ClassDef) -> Iterator[str]:
    text = ast.get_docstring(node) or ""
    if not text:
        yield "no docstring"
    described = _described(text)
    if node.name.endswith("Kwargs"):
        return
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            field = ast.unparse(statement.target)
            is_known = field in described or f"``{field}``" in text or _text_below(node.body, statement)
            if _is_open(statement) and not is_known:
                yield f"field {field} is not described"
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and not statement.name.startswith("_"):
            inherits = bool(node.bases) and ast.get_docstring(statement) is None
            yield from () if inherits else (f"{statement.name}: {lack}" for lack in _lacks_of_function(statement))


def _is_open(field: ast.AnnAssign) -> bool:
    """Return whether a user sets or reads the field; a Literal of one value only tells types apart."""
    annotation = ast.unparse(field.annotation)
    return not ast.unparse(field.target).startswith("_") and not re.match(r"ClassVar|Literal\[[^,]+\]$", annotation)


def _lacks_of_function(node: Function) -> Iterator[str]:
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any(re.search(r"overload|override|setter|validator|serializer|computed", decorator) for decorator in decorators):
        return
    text = ast.get_docstring(node) or ""
    if not text:
        yield "no docstring"
        return
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if re.search(r"\bArgs:", text):
        for argument in arguments:
            if argument.arg not in ("self", "cls") and argument.arg not in _described(text):
                yield f"parameter {argument.arg} is not described"


def _described(text: str) -> set[str]:
    return set(re.findall(r"^\s+\*{0,2}(\w+)(?: \([^)]*\))?:", text, re.MULTILINE))


def _text_below(body: list[ast.stmt], node: ast.stmt) -> bool:
    after = body[body.index(node) + 1 : body.index(node) + 2]
    return bool(after) and isinstance(after[0], ast.Expr) and isinstance(after[0].value, ast.Constant)


def _listed(tree: ast.Module) -> list[str]:
    return [
        str(item.value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AugAssign)) and "__all__" in ast.unparse(node).split("=")[0]
        for item in ast.walk(node)
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]


def _top_level(body: list[ast.stmt]) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign)):
            yield node


def _names_of(node: Definition) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign):
        return {ast.unparse(node.target)}
    return {node.name}


def _file_of(sources: Path, module: str) -> Path:
    place = sources / module.replace(".", "/")
    for file in (place / "__init__.py", place.with_suffix(".py"), place.with_suffix(".pyi")):
        if file.is_file():
            return file
    raise FileNotFoundError(f"there is no source of {module} in {sources}")


if __name__ == "__main__":
    sys.exit(main())
