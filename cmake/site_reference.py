"""The pages of the site's reference that are generated: public names, tables of options, the command line."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_MORE_MODULES = ("xlc_core.testing", "xlc_core.frameworks", "xlc_core.benchmarking", "xlc_core.compat.llama_cpp")
_AREAS = {
    "engine": "the engine",
    "generation": "streams",
    "messages": "messages",
    "results": "results",
    "events": "events",
    "constraints": "constraints",
    "options": "options",
    "retrieval": "retrieval",
    "reranking": "reranking",
    "models": "model files",
    "errors": "errors",
}
_OPTIONS = {
    "xlc_core": (
        "EngineOptions", "SamplingOptions", "CompletionOptions", "ChatOptions", "TokenEmbedOptions", "EmbedOptions",
        "EmbedStreamOptions", "RerankOptions",
    ),
    "xlc_server": ("ServerOptions",),
}  # fmt: skip
_FIELD = re.compile(r"^    (\w+): (.*(?:\n {6,}.*)*)", re.MULTILINE)


def pages(root: Path) -> dict[str, Callable[[], str]]:
    """Return the generated pages: the place in the site, and a function that returns the text."""
    made: dict[str, Callable[[], str]] = {
        "reference/all-options.md": options_page,
        "reference/command-line.md": command_line_page,
    }
    for area in _AREAS:
        made[f"reference/{area}.md"] = functools.partial(area_page, area)
    packages = sorted(path.name for path in (root / "src").glob("xlc_*") if path.name != "xlc_core")
    for module in (*packages, *_MORE_MODULES):
        made[f"reference/{module}.md"] = functools.partial(module_page, module)
    return made


def area_page(area: str) -> str:
    """Return the page of the public names of xlc_core that are defined in one part of it."""
    core = importlib.import_module("xlc_core")
    names = {name: module for name, module in core._MODULES.items() if area_of(module) == area}
    entries = [f"::: xlc_core.{names[name]}.{name}" for name in core.__all__ if name in names]
    head = f"# xlc_core: {_AREAS[area]}\n\nNames of `xlc_core`: `import xlc_core as xlc`."
    return "\n\n".join([head, *entries]) + "\n"


def area_of(module: str) -> str:
    """Return the part of xlc_core that a module belongs to."""
    return {"_native": "constraints"}.get(module, module.split(".")[0])


def module_page(module: str) -> str:
    """Return the page of the public names of another module, which mkdocstrings reads without importing it."""
    return f"# {module}\n\n::: {module}\n    options:\n      show_root_heading: false\n      show_submodules: false\n"


def options_page() -> str:
    """Return the tables of options, with types, defaults and meanings from the models."""
    parts = [
        "# All options",
        "Keyword arguments. None means the default; llama.cpp's own defaults are in square brackets.",
    ]
    for package, names in _OPTIONS.items():
        module = importlib.import_module(package)
        parts += [options_table(getattr(module, name)) for name in names]
    return "\n\n".join(parts) + "\n"


def options_table(cls: Any) -> str:
    """Return the heading and the table of the options that a model adds to its bases."""
    own = [name for name in cls.model_fields if name in vars(cls).get("__annotations__", {})]
    meanings = {name: " ".join(text.split()) for name, text in _FIELD.findall(_section(cls, "Attributes"))}
    rows = [f"## {cls.__name__}", "", (inspect.getdoc(cls) or "").split("\n\n")[0], ""]
    base = cls.__bases__[0].__name__
    if any(base in names for names in _OPTIONS.values()):
        rows += [f"It also has the options of [{base}](#{base.lower()}).", ""]
    rows += ["| option | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name in own:
        field = cls.model_fields[name]
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        meaning = meanings.get(name, "")
        if default != "`None`":  # else the brackets have llama.cpp's default
            meaning = re.sub(r" \[[^\]]+\](?=\.$)", "", meaning)
        cells = (f"`{name}`", f"`{cls.__annotations__[name]}`", default, meaning)
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(rows)


def _section(cls: Any, title: str) -> str:
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)*)", (inspect.getdoc(cls) or "") + "\n", re.MULTILINE)
    return found[1] if found else ""


def _cell(text: str) -> str:
    """Return the text of a cell. Within code, a bar does not end a cell, and a backslash before it would be shown."""
    text = re.sub(r"docs/([\w-]+)\.md", r"[\1](../\1.md)", text).replace("``", "`")
    return "`".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(text.split("`")))


def command_line_page() -> str:
    """Return every command of ``xllama`` with its arguments and options."""
    import typer

    from xlc_core.cli import app

    parts = ["# The command line, option by option", "[The command line](../cli.md) shows it in use."]
    parts += [command_text(path, command) for path, command in _commands("xllama", typer.main.get_command(app))]
    return "\n\n".join(parts) + "\n"


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
    for name, child in (inner or {}).items():
        yield from _commands(f"{path} {name}", child)


def command_text(path: str, command: Any) -> str:
    """Return the heading, the help and the table of a command."""
    shown = [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    usage = " ".join([path, *(_argument(param) for param in arguments), "[OPTIONS]"])
    text = [f"## {path}", inspect.cleandoc(command.help or "").replace("\b\n", ""), f"```console\n$ {usage}\n```"]
    rows = ["| | default | meaning |", "| --- | --- | --- |"]
    for param in shown:
        names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        names = f"`{(param.metavar or param.name).upper()}`" if param in arguments else names
        default = "" if param.default is None or callable(param.default) else f"`{param.default}`"
        rows.append(f"| {names} | {default} | {_cell(' '.join((param.help or '').split()))} |")
    return "\n\n".join([*text, "\n".join(rows)] if shown else text)


def _argument(param: Any) -> str:
    name = (param.metavar or param.name).upper()
    return name if param.required else f"[{name}]"
