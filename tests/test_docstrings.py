"""cmake/check_docstrings.py finds public names whose description is missing, incomplete or wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parents[1]
script = load_file(ROOT / "cmake" / "check_docstrings.py")


def check(folder: Path, code: str, module: str = "part") -> list[str]:
    """Return what is wrong with a package of which a module has this code, without places."""
    package = folder / "src" / "xlc_new"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f'from xlc_new.{module} import Name\n\n__all__ = ["Name"]\n', "utf-8")
    (package / f"{module}.py").write_text(code, "utf-8")
    found = list(script.check_module(script.Sources(folder / "src"), "xlc_new", {"Name"}))
    assert all(line.startswith(f"src/xlc_new/{module}.py:") for line in found)
    return [line.split(": ", 1)[1] for line in found]


def function(signature: str, text: str, body: str = "pass") -> str:
    return f'def {signature}:\n    """{text}"""\n    {body}\n'


ARGS = "Do it.\n\n    Args:\n        "


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("def Name():\n    pass\n", "Name: no docstring"),
        ("class Name:\n    pass\n", "Name: no docstring"),
        ("Name = int | str\n", "Name: no text below it"),
        ('class Name:\n    """A name."""\n\n    size: int\n', "Name: field size is not described"),
        ('class Name:\n    """A name."""\n\n    def read(self): ...\n', "Name.read: no docstring"),
        (function("Name(a, *, b)", ARGS + "a: one.\n    "), "Name: parameter b is not described"),
        (function("Name(a)", "Do it."), "Name: parameter a is not described"),
        (function("Name(**options)", "Do it."), "Name: parameter options is not described"),
        (function("Name(a)", "Do it; see nothing."), "Name: parameter a is not described"),
        (function("Name()", ARGS + "a: one.\n    "), "Name: there is no parameter a"),
        (function("Name(timeout=1)", ARGS + "timeout: the limit.\n    "), "Name: parameter timeout has no unit"),
        (function("Name(n_ctx)", ARGS + "n_ctx: the size.\n    "), "Name: parameter n_ctx has no unit"),
        (function("Name(wait_ms)", ARGS + "wait_ms: seconds.\n    "), "Name: parameter wait_ms has no unit"),
        (function("Name(a=None)", ARGS + "a: one.\n    "), "Name: parameter a: what does None mean?"),
        (
            'class Name:\n    """A name.\n\n    Attributes:\n        size: one.\n    """\n\n    size: int | None\n',
            "Name: field size: what does None mean?",
        ),
        (function("Name() -> int", "Do it."), "Name: the result is not described"),
        (
            function("Name() -> None", "Do it.\n\n    Returns:\n        one.\n    "),
            "Name: Returns describes a result, but nothing is returned",
        ),
        (function("Name()", "Do it.", "raise ValueError(1)"), "Name: ValueError is raised, and not in Raises"),
        (
            function("Name()", "Do it.\n\n    Raises:\n        KeyError: no.\n    ", "raise ValueError(1)"),
            "Name: ValueError is raised, and not in Raises",
        ),
        (
            function("Name()", "Do it.", "_check()") + "\n\ndef _check():\n    raise ValueError(1)\n",
            "Name: ValueError is raised, and not in Raises",
        ),
        (
            function("Name()", "Do it.", "raise _error()") + "\n\ndef _error() -> KeyError:\n    return KeyError(1)\n",
            "Name: KeyError is raised, and not in Raises",
        ),
        (function("Name()", "Do it; see ``nothing``."), "Name: it refers to nothing, which does not exist"),
        (function("Name()", "Do it:\n\n    import it\n    "), "Name: code is not indented: import it"),
        (
            function("Name()", "Do it.\n\n    Examples:\n        >>> with it:\n    "),
            "Name: an example is not Python: expected an indented block after 'with' statement on line 1",
        ),
        (
            'class Name:\n    """A name."""\n\n    def __init__(self, a): ...\n',
            "Name: parameter a is not described",
        ),
        (
            'class Name:\n    """A name."""\n\n    def __init__(self):\n        raise ValueError(1)\n',
            "Name: ValueError is raised, and not in Raises",
        ),
        (
            'class Base:\n    """A base."""\n\n    def read(self): ...\n\n\nclass Name(Base):\n    """A name."""\n',
            "Base.read: no docstring",
        ),
    ],
)
def test_fault_is_found(tmp_path: Path, code: str, fault: str) -> None:
    assert check(tmp_path, code) == [fault]


@pytest.mark.parametrize(
    "code",
    [
        'Name = int | str\n"""A number or its text."""\n',
        'class Name:\n    """A name.\n\n    Attributes:\n        size: in bytes.\n    """\n\n    size: int\n',
        'class Name:\n    """A name."""\n\n    size: int\n    """In bytes."""\n',
        'class Name(Other):\n    """A name."""\n\n    def read(self): ...\n',
        'class Name:\n    """A name."""\n\n    _size: int\n    kind: Literal["one"]\n',
        'class Name:\n    """A name.\n\n    Args:\n        a: one.\n    """\n\n    def __init__(self, a): ...\n',
        'class Name:\n    """A name."""\n\n    def __init__(self, a: Inner): ...\n\n\nclass Inner: ...\n',
        'class Name:\n    """A field that is None is left out."""\n\n    size: int | None\n    """In bytes."""\n',
        function("Name(a)", "Do it; see other.") + "\n\ndef other():\n    pass\n",
        function("Name(timeout=None)", ARGS + "timeout: seconds; None: no limit.\n    "),
        function("Name() -> int", "Return one."),
        function("Name() -> int", "Do it.\n\n    Returns:\n        one.\n    "),
        function("Name()", "Do it.\n\n    Raises:\n        Exception: no.\n    ", "raise ValueError(1)"),
        function("Name()", "Do it.", "try:\n        raise KeyError(1)\n    except LookupError:\n        pass"),
        function("Name()", "Do it.", "raise NotImplementedError"),
        function("Name()", "Do it.\n\n    Examples:\n        >>> import it\n        >>> a = it.b(1)\n    "),
        "@overload\ndef Name(a): ...\n",
    ],
)
def test_descriptions_are_accepted(tmp_path: Path, code: str) -> None:
    assert check(tmp_path, code) == []


@pytest.mark.parametrize(
    ("default", "shown"),
    [("512", "512"), ("True", "True"), ('"auto"', '"auto"'), ("Field(0.5, ge=0)", "0.5"), ("None", ""), ("()", "")],
)
def test_default_of_an_option_is_in_brackets(tmp_path: Path, default: str, shown: str) -> None:
    code = (
        'class Name(Base):\n    """Options.\n\n    Attributes:\n        size: one%s.\n    """\n\n    size: Any = %s\n'
    )
    assert check(tmp_path / "with", code % (f" [{shown}]", default), "options") == []
    lack = [f"Name: field size does not have its default, [{shown}]"] if shown else []
    assert check(tmp_path / "without", code % ("", default), "options") == lack
    assert check(tmp_path / "other", code % ("", default)) == []


def test_errors_of_ours_have_their_bases(tmp_path: Path) -> None:
    code = "class OurError(Exception): ...\n\n\nclass NearError(OurError): ...\n\n\n"
    named = "Do it.\n\n    Raises:\n        OurError: no.\n    "
    assert check(tmp_path / "named", code + function("Name()", named, "raise NearError")) == []
    assert check(tmp_path / "other", code + function("Name()", named, "raise KeyError")) == [
        "Name: KeyError is raised, and not in Raises"
    ]


def test_every_public_name_is_described() -> None:
    assert script.main() == 0
