"""Check that every public name has a docstring, and that it agrees with the code.

    python cmake/check_docstrings.py

Public are the names in ``__all__`` of the packages of src/, and of the modules named below. The sources are read, not
imported. Checked are public functions, and the fields, the constructor and the methods of public classes and of their
bases that are ours:

* Each parameter and each field has a description. A function without ``Args:`` may refer to one that has it ("see
  chat"), and one with "noqa: D417" describes a part of them.
* ``Args:`` names parameters only.
* The description of a time, a size or a number of tokens has its unit. If the default is None, it says what that means.
  Options, which no signature shows, have their default in brackets: [512].
* ``Raises:`` has the errors that a function raises, itself or in a private function of its module.
* A result is described, by ``Returns:``, ``Yields:`` or a first line that begins so.
* "see X" names something that exists. Examples are Python, and code is indented, or the site shows it as text.

A method of a class with bases may inherit its docstring; tests/test_public_names.py checks that it has one. The keyword
arguments in options/kwargs.py are described by the options that they are generated from. Prints file, line and what is
wrong, and exits with 1.
"""

from __future__ import annotations

import ast
import doctest
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from docstrings import Docstring, Function, Public, Sources, names_in

ROOT = Path(__file__).resolve().parents[1]
MORE_MODULES = ("xlc_core.testing", "xlc_core.frameworks", "xlc_core.benchmarking", "xlc_core.compat.llama_cpp")

# By the name of a parameter or field, what its description must say.
UNITS = {
    r".*timeout|keep_alive|sleep_after|.*_?seconds": r"second|\btime\b|how long",
    r".*_ms": r"millisecond",
    r".*_mib": r"MiB",
    r".*_bytes|memory|prompt_cache|paused": r"byte",
    r"n_ctx.*|max_tokens|.*_tokens|thinking_budget|overlap": r"token",
}
MEANS_NONE = re.compile(r"None|by default|\[[^\]]+\]")


def main() -> int:
    """Check all names, print what is wrong, and return the exit status."""
    sources = Sources(ROOT / "src")
    packages = sorted(path.parent.name for path in sources.folder.glob("xlc_*/__init__.py"))
    modules = (*packages, *MORE_MODULES)
    public = {name for module in modules for name in sources.listed(module)}
    wrong = [line for module in modules for line in check_module(sources, module, public)]
    print("\n".join(dict.fromkeys(wrong)), end="\n" if wrong else "")
    return 1 if wrong else 0


def check_module(sources: Sources, module: str, public: set[str]) -> Iterator[str]:
    """Yield a line for each thing that is wrong with the descriptions of a module's public names.

    Args:
        sources: all modules.
        module: the module.
        public: the public names of all modules.
    """
    text = ast.get_docstring(sources.tree_of(module)) or ""
    own = sources.file_of(module).relative_to(sources.folder.parent)
    yield from (f"{own}:1: {module}: {fault}" for fault in _code_faults(text))
    for name in sources.public(module):
        file = sources.file_of(name.module).relative_to(sources.folder.parent)
        for place, fault in _Check(sources, name, public).faults():
            yield f"{file}:{place}: {name.name}{fault}"


Fault = tuple[int, str]
"""A line, and what is wrong there."""


class _Check:
    """The checks of one public name."""

    def __init__(self, sources: Sources, name: Public, public: set[str]) -> None:
        self._sources = sources
        self._name = name
        self._public = public

    def faults(self) -> Iterator[Fault]:
        node = self._name.node
        if isinstance(node, ast.ClassDef):
            yield from self._of_class(node)
        elif isinstance(node, Function):
            yield from ((node.lineno, f": {fault}") for fault in self._of_function(node))
        elif not _text_below(self._sources.tree_of(self._name.module).body, node):
            yield node.lineno, ": no text below it"

    def _of_class(self, node: ast.ClassDef) -> Iterator[Fault]:
        own = Docstring.of(node)
        if not own.text:
            yield node.lineno, ": no docstring"
        if node.name.endswith("Kwargs"):
            return
        yield from ((node.lineno, f": {fault}") for fault in _code_faults(own.text))
        yield from ((node.lineno, f": {fault}") for fault in self._of_making(node, own))
        for one in node.body:
            if isinstance(one, ast.AnnAssign) and _is_open(one) and not node.name.startswith("_"):
                is_option = ".options" in self._name.module
                yield from ((one.lineno, f": {fault}") for fault in _of_field(one, node, own, is_option))
            elif isinstance(one, Function) and not one.name.startswith("_") and not _inherits(one, node):
                yield from ((one.lineno, f".{one.name}: {fault}") for fault in self._of_function(one))

    def _of_making(self, node: ast.ClassDef, own: Docstring) -> Iterator[str]:
        """Check the description of the constructor, which is in the class's docstring or in its own."""
        yield from self._broken_references(own)
        making = [one for one in node.body if isinstance(one, Function) and one.name in ("__init__", "__post_init__")]
        texts = (own, *(Docstring.of(one) for one in making))
        is_error = node.name.endswith("Error")  # we make it
        if is_error or any(self._is_made_inside(one) for one in making):
            return
        fields = {ast.unparse(one.target): one for one in node.body if isinstance(one, ast.AnnAssign)}
        known = {*fields, *(one.arg for init in making for one, _ in _parameters(init))}
        yield from _unknown_parameters(known, texts) if making or not node.bases else ()
        for init in making:
            yield from self._of_parameters(init, *texts)
            yield from self._unnamed_errors(init, *texts)

    def _is_made_inside(self, init: Function) -> bool:
        """Return whether only our code makes the objects: a parameter has a type of ours that is not public."""
        types = names_in(one.annotation for one, _ in _parameters(init) if one.annotation is not None)
        return bool(types & self._sources.names - self._public)

    def _of_function(self, node: Function) -> Iterator[str]:
        decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        if re.search(r"overload|override|setter|validator|serializer|computed", decorators):
            return
        own = Docstring.of(node)
        if not own.text:
            yield "no docstring"
            return
        yield from self._broken_references(own)
        yield from _code_faults(own.text)
        yield from self._of_parameters(node, own)
        yield from _unknown_parameters({one.arg for one, _ in _parameters(node)}, [own])
        yield from self._unnamed_errors(node, own)
        if not re.search(r"property|contextmanager", decorators):
            yield from self._of_result(node, own)

    def _of_parameters(self, node: Function, *texts: Docstring) -> Iterator[str]:
        described = {name: text for one in texts for name, text in one.described.items()}
        may_refer = not any("Args" in one.sections for one in texts) and any(self._refers(one) for one in texts)
        may_refer |= "noqa: D417" in self._sources.lines_of(self._name.module)[node.lineno - 1]
        for one, default in _parameters(node):
            if one.arg in ("self", "cls") or one.arg.startswith("_"):
                continue
            if one.arg in described:
                is_optional = isinstance(default, ast.Constant) and default.value is None
                yield from _of_text(f"parameter {one.arg}", one.arg, described[one.arg], is_optional)
            elif not may_refer:
                yield f"parameter {one.arg} is not described"

    def _unnamed_errors(self, node: Function, *texts: Docstring) -> Iterator[str]:
        if any(self._refers(one) for one in texts):
            return
        named = {name.split(".")[-1] for one in texts for name in one.sections.get("Raises", {})}
        for error in sorted(self._sources.raised(node, self._name.module)):
            if not any(self._sources.is_a(error, one) or self._sources.is_a(one, error) for one in named):
                yield f"{error} is raised, and not in Raises"

    def _of_result(self, node: Function, own: Docstring) -> Iterator[str]:
        result = "None" if node.returns is None else ast.unparse(node.returns)
        if result in ("None", "NoReturn"):
            if "Returns" in own.sections:
                yield "Returns describes a result, but nothing is returned"
            return
        is_described = re.match("Return|Yield", own.text) or {"Returns", "Yields"} & own.sections.keys()
        if not is_described and not self._refers(own):
            yield "the result is not described"

    def _refers(self, own: Docstring) -> bool:
        return bool(own.references & self._sources.names)

    def _broken_references(self, own: Docstring) -> Iterator[str]:
        for quoted, dotted in re.findall(r"\bsee (?:``([A-Za-z_][\w.]*)``|(\w+(?:\.|_)\w+))", own.text):
            name = quoted or dotted
            if name.split(".")[-1] not in self._sources.names:
                yield f"it refers to {name}, which does not exist"


def _of_field(one: ast.AnnAssign, node: ast.ClassDef, own: Docstring, is_option: bool) -> Iterator[str]:
    name = ast.unparse(one.target)
    if text := own.described.get(name, "") or _text_below(node.body, one):
        if is_option and (default := _default(one)) and f"[{default}]" not in text:
            yield f"field {name} does not have its default, [{default}]"
        says_it_for_all = re.search(r"None (leaves|stands)|that is None", own.text)
        is_optional = "None" in ast.unparse(one.annotation) and not says_it_for_all
        yield from _of_text(f"field {name}", name, text, is_optional)
    elif f"``{name}``" not in own.text:
        yield f"field {name} is not described"


def _default(one: ast.AnnAssign) -> str:
    """Return a field's default as docstrings have it; empty for None, an empty text, and what is not a constant."""
    value = one.value
    if isinstance(value, ast.Call) and value.args:  # pydantic's Field
        value = value.args[0]
    if not isinstance(value, ast.Constant) or value.value in (None, "", ...):
        return ""
    return f'"{value.value}"' if isinstance(value.value, str) else repr(value.value)


def _of_text(what: str, name: str, text: str, is_optional: bool) -> Iterator[str]:
    for pattern, unit in UNITS.items():
        if re.fullmatch(pattern, name) and not re.search(unit, text, re.IGNORECASE):
            yield f"{what} has no unit"
    if is_optional and not MEANS_NONE.search(text):
        yield f"{what}: what does None mean?"


def _code_faults(text: str) -> Iterator[str]:
    if line := re.search(r"^(import \w|from \w+ import|with .*:$|\w+ = |\w+\.\w+\().*", text, re.MULTILINE):
        yield f"code is not indented: {line[0]}"
    for example in doctest.DocTestParser().get_examples(text):
        try:
            ast.parse(example.source)
        except SyntaxError as error:
            yield f"an example is not Python: {error.msg}"


def _unknown_parameters(known: set[str], texts: Iterable[Docstring]) -> Iterator[str]:
    for name in sorted({name.lstrip("*") for one in texts for name in one.sections.get("Args", {})} - known):
        yield f"there is no parameter {name}"


def _is_open(one: ast.AnnAssign) -> bool:
    """Return whether a user sets or reads the field; a Literal of one value only tells types apart."""
    annotation = ast.unparse(one.annotation)
    return not ast.unparse(one.target).startswith("_") and not re.match(r"ClassVar|Literal\[[^,]+\]$", annotation)


def _inherits(method: Function, node: ast.ClassDef) -> bool:
    return bool(node.bases) and ast.get_docstring(method) is None


def _parameters(node: Function) -> list[tuple[ast.arg, ast.expr | None]]:
    """Return the parameters with their defaults."""
    places = [*node.args.posonlyargs, *node.args.args]
    defaults = [*[None] * (len(places) - len(node.args.defaults)), *node.args.defaults]
    named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    rest = [(one, None) for one in (node.args.vararg, node.args.kwarg) if one is not None]
    return [*zip(places, defaults, strict=True), *named, *rest]


def _text_below(body: list[ast.stmt], node: ast.stmt) -> str:
    after = body[body.index(node) + 1 : body.index(node) + 2]
    value = after[0].value if after and isinstance(after[0], ast.Expr) else None
    return str(value.value) if isinstance(value, ast.Constant) else ""


if __name__ == "__main__":
    sys.exit(main())
