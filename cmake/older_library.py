"""Make a library to link with that has only the functions which an older release of it had.

A program asks for the newest version of a function that its linker saw. The library made here is empty but for the
names and versions, up to a limit, so that a program linked with it runs wherever that limit is met.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

KINDS = {"FUNC": "function", "IFUNC": "function", "OBJECT": "object", "UNIQUE": "object", "TLS": "tls_object"}


class Symbol(NamedTuple):
    """A name that a library exports.

    Attributes:
        name: the name.
        version: such as ``GLIBC_2.2.5``.
        kind: as the assembler writes it.
        size: in bytes.
    """

    name: str
    version: str
    kind: str
    size: int


def number_of(version: str) -> tuple[int, ...]:
    """Return the number in the name of a version, for comparing."""
    return tuple(int(part) for part in version.rpartition("_")[2].split("."))


def symbols_of(library: Path, limits: dict[str, str]) -> list[Symbol]:
    """Return the symbols of a library whose versions are within the limits, the newest version of each name."""
    command = ["readelf", "--dyn-syms", "--wide", str(library)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Symbol] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[6] in {"UND", "ABS"} or fields[3] not in KINDS:
            continue
        matched = re.fullmatch(r"([^@]+)@@?((\w+)_[\d.]+)", fields[7])
        if not matched or matched[3] not in limits or number_of(matched[2]) > number_of(limits[matched[3]]):
            continue
        symbol = Symbol(matched[1], matched[2], KINDS[fields[3]], int(fields[2], 0))
        if symbol.name not in found or number_of(found[symbol.name].version) < number_of(symbol.version):
            found[symbol.name] = symbol
    return sorted(found.values())


def source_of(symbols: list[Symbol]) -> str:
    """Return the library in assembly language."""
    lines = []
    for index, symbol in enumerate(symbols):
        section = '.section .tbss,"awT",@nobits' if symbol.kind == "tls_object" else ".text"
        lines += [section, f".globl s{index}", f".type s{index}, @{symbol.kind}", f".size s{index}, {symbol.size}"]
        lines += [f"s{index}: .skip 1", f".symver s{index}, {symbol.name}@@{symbol.version}, remove"]
    return "\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""])


def make_older(library: Path, limits: dict[str, str], target: Path, compiler: str = "gcc") -> None:
    """Write the library to `target`, with the name by which programs ask for it.

    Args:
        library: the newer one.
        limits: the newest version of each kind, such as ``{"GLIBC": "GLIBC_2.28"}``.
        target: the file.
        compiler: a GCC for the library's processor.
    """
    symbols = symbols_of(library, limits)
    versions = sorted({symbol.version for symbol in symbols})
    with tempfile.TemporaryDirectory() as folder:
        script, assembly = Path(folder, "versions.map"), Path(folder, "library.s")
        script.write_text("".join(f"{version} {{ }};\n" for version in versions))
        assembly.write_text(source_of(symbols))
        options = ["-shared", "-nostdlib", f"-Wl,-soname,{library.name}", f"-Wl,--version-script={script}"]
        subprocess.run([compiler, *options, "-o", str(target), str(assembly)], check=True)
