"""Reading of modules for check_docstrings.py: docstrings in Google's style, and what functions raise."""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Definition", "Docstring", "Function", "Public", "Sources", "names_in"]

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign

_HEADING = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Examples?):$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\*{0,2}[\w.]+)(?: \([^)]*\))?: ?(.*)$")
_REFERENCE = re.compile(r"(?:\bsee|[;,] as|^As|\. As|\bthose of|\berrors? of|\barguments of) (?:``)?([A-Za-z_][\w.]*)")
_NEVER_NAMED = {"AssertionError", "AttributeError", "NotImplementedError"}


class Docstring(NamedTuple):
    """A docstring and its sections.

    Attributes:
        text: all of it.
        sections: by heading, the descriptions of the entries by their names, with the stars of ``**options``.
    """

    text: str
    sections: Mapping[str, Mapping[str, str]] = {}

    @classmethod
    def of(cls, node: ast.ClassDef | Function) -> Docstring:
        """Read the docstring of a definition; without one the text is empty."""
        text = ast.get_docstring(node) or ""
        sections: dict[str, dict[str, str]] = {}
        entries: dict[str, str] = {}
        name = ""
        for line in text.splitlines():
            if line and not line.startswith(" "):
                heading = _HEADING.match(line)
                entries, name = (sections.setdefault(heading[1], {}) if heading else {}), ""
            elif entry := _ENTRY.match(line):
                name = entry[1]
                entries[name] = entry[2]
            elif name:
                entries[name] += " " + line.strip()
        return cls(text, sections)

    @property
    def described(self) -> dict[str, str]:
        """The descriptions of parameters and fields, by their names without stars."""
        both = {**self.sections.get("Attributes", {}), **self.sections.get("Args", {})}
        return {name.lstrip("*"): text for name, text in both.items()}

    @property
    def references(self) -> set[str]:
        """The last parts of the names that it refers to before its sections, as "see Engine.chat" does."""
        start = re.split(_HEADING, self.text, maxsplit=1)[0]
        return {name.rstrip(".").split(".")[-1] for name in _REFERENCE.findall(start)}


class Public(NamedTuple):
    """A public name, or the base of a public class.

    Attributes:
        name: the name.
        module: the module that defines it.
        node: its definition.
    """

    name: str
    module: str
    node: Definition


class Sources:
    """The modules below a folder.

    Args:
        folder: holds the packages.

    Attributes:
        folder: the same.
        names: everything that a module or a class in it defines.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: set[str] = set()
        self._errors: dict[str, set[str]] = {}
        for file in sorted([*folder.rglob("*.py"), *folder.rglob("*.pyi")]):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                self._add(node)

    def _add(self, node: ast.AST) -> None:
        if isinstance(node, Definition):
            self.names |= defined_names(node)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
            bases = {ast.unparse(base).split(".")[-1] for base in node.bases} - {node.name}
            self._errors.setdefault(node.name, set()).update(bases)

    @functools.cache  # noqa: B019  # a program has one
    def file_of(self, module: str) -> Path:
        """Return a module's file."""
        place = self.folder / module.replace(".", "/")
        for file in (place / "__init__.py", place.with_suffix(".py"), place.with_suffix(".pyi")):
            if file.is_file():
                return file
        raise FileNotFoundError(f"there is no source of {module} in {self.folder}")

    @functools.cache  # noqa: B019
    def lines_of(self, module: str) -> list[str]:
        """Return a module's lines."""
        return self.file_of(module).read_text("utf-8").splitlines()

    @functools.cache  # noqa: B019
    def tree_of(self, module: str) -> ast.Module:
        """Return a module's statements."""
        return ast.parse(self.file_of(module).read_text("utf-8"))

    def public(self, module: str) -> Iterator[Public]:
        """Yield the definitions of the names in a module's ``__all__``, and the bases of the classes among them."""
        for name in self.listed(module):
            yield from self._with_bases(module, name)

    def listed(self, module: str) -> list[str]:
        """Return the names in a module's ``__all__``."""
        return [
            str(item.value)
            for node in ast.walk(self.tree_of(module))
            if isinstance(node, (ast.Assign, ast.AugAssign)) and "__all__" in ast.unparse(node).split("=")[0]
            for item in ast.walk(node)
            if isinstance(item, ast.Constant) and isinstance(item.value, str)
        ]

    def _with_bases(self, module: str, name: str) -> Iterator[Public]:
        home = self._homes(module).get(name, module)
        try:
            body = self.tree_of(home).body
        except FileNotFoundError:  # of another package, which is not ours
            return
        for node in body:
            if isinstance(node, Definition) and name in defined_names(node):
                yield Public(name, home, node)
                for base in node.bases if isinstance(node, ast.ClassDef) else ():
                    yield from self._with_bases(home, ast.unparse(base))

    @functools.cache  # noqa: B019
    def _homes(self, module: str) -> dict[str, str]:
        return {
            alias.asname or alias.name: node.module
            for node in ast.walk(self.tree_of(module))
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }

    def is_a(self, error: str, base: str) -> bool:
        """Return whether a class of errors is, or derives from, another one."""
        if error == base or (bases := self._errors.get(error)) is None:
            both = (getattr(builtins, error, None), getattr(builtins, base, None))
            return error == base or (all(isinstance(one, type) for one in both) and issubclass(*both))  # type: ignore[arg-type]
        return any(self.is_a(one, base) for one in bases)

    def raised(self, function: Function, module: str) -> set[str]:
        """Return the errors that a function raises itself, or by private functions of its module."""
        return _Raised(self, self.tree_of(module)).by(function) - _NEVER_NAMED


class _Raised:
    """The errors that the functions of one module raise."""

    def __init__(self, sources: Sources, tree: ast.Module) -> None:
        self._sources = sources
        self._entered: set[str] = set()
        functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
        self._private = {node.name: node for node in functions if node.name.startswith("_")}

    def by(self, function: Function) -> set[str]:
        self._entered.add(function.name)
        return self._among(function.body)

    def _among(self, nodes: Iterable[ast.AST]) -> set[str]:
        return {name for node in nodes for name in self._at(node)}

    def _at(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            return
        if isinstance(node, ast.Try):
            caught = names_in(handler.type for handler in node.handlers if handler.type is not None)
            inside = self._among([*node.body, *node.orelse])
            yield from (name for name in inside if not any(self._sources.is_a(name, one) for one in caught))
            yield from self._among([*node.handlers, *node.finalbody])
            return
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from self._class_of(node.exc)
        if isinstance(node, ast.Call):
            called = self._private.get(_last_name(node.func))
            if called is not None and called.name not in self._entered:
                yield from self.by(called)
        yield from self._among(ast.iter_child_nodes(node))

    def _class_of(self, error: ast.expr) -> Iterator[str]:
        name = _last_name(error.func if isinstance(error, ast.Call) else error)
        made = self._private.get(name)  # a function that makes the error
        if made is not None and made.returns is not None:
            name = _last_name(made.returns)
        if name.endswith("Error"):
            yield name


def names_in(nodes: Iterable[ast.AST]) -> set[str]:
    """Return all names in some expressions."""
    return {node.id for one in nodes for node in ast.walk(one) if isinstance(node, ast.Name)}


def defined_names(node: Definition) -> set[str]:
    """Return the names that a definition defines."""
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {ast.unparse(node.target)} if isinstance(node, ast.AnnAssign) else {node.name}


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
