"""Hostile variants of a GGUF file: every number, text, array and tensor changed on purpose, or some of them at random.

The same file and number always give the same variant, so that a finding can be made again from its name.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

__all__ = ["Gguf", "Variant", "random_variant", "read_gguf", "systematic_variants"]

# struct's letter for each type of a scalar, by GGUF's number
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
BOOL, FLOATS = 7, (6, 12)
INTEGERS = [0, 1, 2, 3, 7, -1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]
REALS = [0.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e38, 1e-38]
TEXTS = [b"", b"\xff\xfe\xe9", b"a\x00b", b"x" * 5000, "é½𝄞".encode(), b"{{", b"../../etc/passwd"]
SIZES = [0, 1, 3, 2**31 - 1, 2**32, 2**62, 2**63 - 1]
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 27: (1, 8), 30: (1, 2)}  # items and bytes of a block, by type
LARGEST = 1 << 24  # a file has at most so many bytes
TYPES = [0, 1, 2, 3, 4, 8, 10, 14, 16, 24, 26, 27, 28, 30, 34, 39, 63, 2**31 - 1, 2**32 - 1]


@dataclass
class Field:
    """One key of the metadata; ``raw`` is its value as the file has it."""

    key: bytes
    type: int
    raw: bytes


@dataclass
class Tensor:
    name: bytes
    sizes: list[int]
    type: int
    offset: int


@dataclass
class Gguf:
    fields: list[Field]
    tensors: list[Tensor]
    data: bytes
    magic: bytes = b"GGUF"
    version: int = 3
    n_fields: int | None = None  # None: as many as there are
    n_tensors: int | None = None
    alignment: int = 32

    def header(self) -> bytes:
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_fields = len(self.fields) if self.n_fields is None else self.n_fields
        parts = [self.magic, struct.pack("<IQQ", self.version & 0xFFFFFFFF, n_tensors, n_fields)]
        for one in self.fields:
            parts += [text_bytes(one.key), struct.pack("<I", one.type & 0xFFFFFFFF), one.raw]
        for tensor in self.tensors:
            sizes = struct.pack(f"<I{len(tensor.sizes)}Q", len(tensor.sizes), *(size % 2**64 for size in tensor.sizes))
            place = struct.pack("<IQ", tensor.type & 0xFFFFFFFF, tensor.offset % 2**64)
            parts += [text_bytes(tensor.name), sizes, place]
        return b"".join(parts)

    def to_bytes(self) -> bytes:
        header = self.header()
        return header + b"\0" * (-len(header) % self.alignment) + self.data

    def lay_out(self) -> None:
        """Move the tensors so that they follow each other, and give them as many bytes as they need."""
        end = 0
        for tensor in self.tensors:
            tensor.offset = end
            n_items, n_bytes = BLOCKS.get(tensor.type, (1, 4))
            end += math.prod(tensor.sizes) // n_items * n_bytes
            end += -end % self.alignment
        if end < LARGEST:
            self.data = self.data.ljust(end, b"\0")

    def copy(self) -> Gguf:
        fields = [Field(one.key, one.type, one.raw) for one in self.fields]
        tensors = [Tensor(one.name, list(one.sizes), one.type, one.offset) for one in self.tensors]
        return Gguf(fields, tensors, self.data)


@dataclass
class Variant:
    """A change of a file; ``name`` says which."""

    name: str
    change: Callable[[Gguf], bytes | None] = field(repr=False)

    def of(self, source: Gguf) -> bytes:
        """Return the changed file."""
        target = source.copy()
        whole = self.change(target)
        return target.to_bytes() if whole is None else whole


def text_bytes(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def read_gguf(content: bytes) -> Gguf:
    """Return the parts of a sound file."""
    n_tensors, n_fields = struct.unpack_from("<QQ", content, 8)
    at = 24

    def text() -> bytes:
        nonlocal at
        (size,) = struct.unpack_from("<Q", content, at)
        at += 8 + size
        return content[at - size : at]

    def skip(type_: int) -> None:
        nonlocal at
        if type_ == STRING:
            text()
        elif type_ == ARRAY:
            inner, n = struct.unpack_from("<IQ", content, at)
            at += 12
            if inner in SCALARS:
                at += n * struct.calcsize("<" + SCALARS[inner])
            else:
                for _ in range(n):
                    skip(inner)
        else:
            at += struct.calcsize("<" + SCALARS[type_])

    fields = []
    for _ in range(n_fields):
        key = text()
        (type_,) = struct.unpack_from("<I", content, at)
        at += 4
        start = at
        skip(type_)
        fields.append(Field(key, type_, content[start:at]))
    tensors = []
    for _ in range(n_tensors):
        name = text()
        (n_dims,) = struct.unpack_from("<I", content, at)
        sizes = list(struct.unpack_from(f"<{n_dims}Q", content, at + 4))
        type_, offset = struct.unpack_from("<IQ", content, at + 4 + 8 * n_dims)
        at += 16 + 8 * n_dims
        tensors.append(Tensor(name, sizes, type_, offset))
    at += -at % 32
    return Gguf(fields, tensors, content[at:])


def pack(type_: int, value: float) -> bytes:
    """Return a number as this type stores it; integers wrap."""
    code = SCALARS[type_]
    if type_ in FLOATS:
        return struct.pack("<" + code, value)
    n_bytes = struct.calcsize("<" + code)
    return (int(value) % 256**n_bytes).to_bytes(n_bytes, "little")


def array(type_: int, items: list[bytes]) -> bytes:
    return struct.pack("<IQ", type_, len(items)) + b"".join(items)


def array_items(one: Field) -> tuple[int, list[bytes]]:
    """Return the type and the raw items of an array of scalars or texts."""
    type_, n = struct.unpack_from("<IQ", one.raw)
    if type_ in SCALARS:
        size = struct.calcsize("<" + SCALARS[type_])
        return type_, [one.raw[12 + i * size : 12 + (i + 1) * size] for i in range(n)]
    items, at = [], 12
    for _ in range(n):
        (size,) = struct.unpack_from("<Q", one.raw, at)
        items.append(one.raw[at : at + 8 + size])
        at += 8 + size
    return type_, items


def values_for(type_: int) -> list[tuple[str, bytes]]:
    """Return hostile values of a scalar type or a text, with their names."""
    if type_ == STRING:
        return [(f"text{i}", text_bytes(text)) for i, text in enumerate(TEXTS)]
    if type_ == BOOL:
        return [("false", b"\0"), ("true", b"\1"), ("byte2", b"\2")]
    numbers: list[float] = list(REALS) if type_ in FLOATS else list(INTEGERS)
    return [(str(number), pack(type_, number)) for number in numbers]


def replacements(one: Field) -> list[tuple[str, int, bytes]]:
    """Return hostile types and values for a field, with their names."""
    other = [
        ("as-text", STRING, text_bytes(b"7")),
        ("as-int32", 5, pack(5, -1)),
        ("as-uint64", 10, pack(10, 2**64 - 1)),
        ("as-real", 6, pack(6, float("nan"))),
        ("as-bool", BOOL, b"\1"),
        ("as-array", ARRAY, array(4, [pack(4, 2**32 - 1)])),
        ("as-many", ARRAY, array(5, [pack(5, -1)] * 600)),
        ("as-unknown", 77, b"\0" * 8),
    ]
    if one.type != ARRAY:
        return [(name, one.type, raw) for name, raw in values_for(one.type)] + other
    type_, items = array_items(one)
    found = [
        ("empty", ARRAY, array(type_, [])),
        ("shorter", ARRAY, array(type_, items[:-1])),
        ("longer", ARRAY, array(type_, items + items[:1])),
        ("doubled", ARRAY, array(type_, items * 2)),
        ("endless", ARRAY, struct.pack("<IQ", type_, 2**63 - 1) + b"".join(items)),
        ("nested", ARRAY, array(ARRAY, [array(type_, items[:2])])),
    ]
    for name, raw in values_for(type_):
        found.append((f"first={name}", ARRAY, array(type_, [raw, *items[1:]])))
        found.append((f"all={name}", ARRAY, array(type_, [raw] * len(items))))
    return found + other


def field_variants(source: Gguf) -> Iterator[Variant]:
    for i, one in enumerate(source.fields):
        key = one.key.decode()

        def remove(target: Gguf, i: int = i) -> None:
            del target.fields[i]

        def twice(target: Gguf, i: int = i) -> None:
            target.fields.append(target.fields[i])

        yield Variant(f"{key} removed", remove)
        yield Variant(f"{key} twice", twice)
        for name, type_, raw in replacements(one):

            def replace(target: Gguf, i: int = i, type_: int = type_, raw: bytes = raw) -> None:
                target.fields[i] = Field(target.fields[i].key, type_, raw)

            yield Variant(f"{key} {name}", replace)


def resize(target: Gguf, tensor: Tensor, dim: int, size: int) -> None:
    """Change a size in a file that is otherwise sound."""
    tensor.sizes[dim] = size
    target.lay_out()


def tensor_variants(source: Gguf) -> Iterator[Variant]:
    for i, tensor in enumerate(source.tensors):
        name = tensor.name.decode()

        def changed(what: str, change: Callable[[Gguf, Tensor], object], i: int = i, name: str = name) -> Variant:
            return Variant(f"{name} {what}", lambda target: void(change(target, target.tensors[i])))

        yield changed("removed", lambda target, one: target.tensors.remove(one))
        yield changed("twice", lambda target, one: target.tensors.append(one))
        yield changed("renamed", lambda _, one: setattr(one, "name", b"\xff" + one.name))
        yield changed("long name", lambda _, one: setattr(one, "name", one.name * 20))
        for n_dims in (0, 1, 4, 5):
            yield changed(f"n_dims={n_dims}", lambda _, one, n=n_dims: setattr(one, "sizes", (one.sizes * 5)[:n]))
        for dim in range(len(tensor.sizes)):
            for size in [*SIZES, tensor.sizes[dim] - 1, tensor.sizes[dim] + 32, tensor.sizes[dim] // 2]:
                yield changed(f"size{dim}={size}", lambda _, one, dim=dim, size=size: one.sizes.__setitem__(dim, size))
            for size in (1, tensor.sizes[dim] // 2, tensor.sizes[dim] * 2, tensor.sizes[dim] + 32):
                yield changed(f"laid out with size{dim}={size}", partial(resize, dim=dim, size=size))
        yield changed("transposed", lambda _, one: one.sizes.reverse())
        for type_ in TYPES:
            yield changed(f"type={type_}", lambda _, one, type_=type_: setattr(one, "type", type_))
        for offset in (0, 1, 32, 2**31, 2**63 - 32, 2**64 - 32):
            yield changed(f"offset={offset}", lambda _, one, offset=offset: setattr(one, "offset", offset))


def file_variants(source: Gguf) -> Iterator[Variant]:
    size = len(source.to_bytes())
    n_header = len(source.header())
    for n in sorted(
        {0, 3, 4, 8, 16, 24, 25, n_header // 3, n_header - 1, n_header, n_header + 64, size // 2, size - 1}
    ):
        yield Variant(f"first {n} bytes", lambda target, n=n: target.to_bytes()[:n])
    for version in (0, 1, 2, 4, 2**24 * 3, 2**32 - 1):
        yield Variant(f"version={version}", lambda target, version=version: setattr(target, "version", version))
    for count in (0, 1, 2**16, 2**32, 2**61, 2**63 - 1):
        yield Variant(f"n_fields={count}", lambda target, count=count: setattr(target, "n_fields", count))
        yield Variant(f"n_tensors={count}", lambda target, count=count: setattr(target, "n_tensors", count))
    for alignment in (0, 1, 3, 64, 2**20, 2**31, 2**32 - 1):
        value = Field(b"general.alignment", 4, pack(4, alignment))
        yield Variant(f"alignment={alignment}", lambda target, value=value: target.fields.append(value))
    for n_parts in (0, 2, 65535):
        value = Field(b"split.count", 2, pack(2, n_parts))
        yield Variant(f"split.count={n_parts}", lambda target, value=value: target.fields.append(value))
    yield Variant("other magic", lambda target: setattr(target, "magic", b"GGML"))
    yield Variant("weights of ones", lambda target: setattr(target, "data", b"\xff" * len(target.data)))
    yield Variant("weights of zeros", lambda target: setattr(target, "data", b"\0" * len(target.data)))
    yield Variant("endless key", lambda target: target.to_bytes()[:24] + struct.pack("<Q", 2**63) + b"k" * 64)


def void(_: object) -> None:
    """Return None, whatever a change returned."""


def systematic_variants(source: Gguf) -> list[Variant]:
    """Return each change of one thing."""
    return [*file_variants(source), *field_variants(source), *tensor_variants(source)]


def random_variant(variants: list[Variant], seed: int) -> Variant:
    """Return some of a file's systematic variants at once, and changed bytes in the header; the seed decides which."""
    choice = random.Random(seed)
    some = choice.sample(variants, choice.randint(1, 3))

    def change(target: Gguf) -> bytes:
        for one in some:
            try:
                whole = one.change(target)
            except (IndexError, ValueError):  # an earlier change has removed what this one changes
                continue
            if whole is not None:
                return whole
        content = bytearray(target.to_bytes())
        if choice.random() < 0.5 and content:
            n_header = min(len(target.header()), len(content))
            for _ in range(choice.randint(1, 4)):
                content[choice.randrange(n_header)] = choice.randrange(256)
        return bytes(content)

    return Variant(f"seed {seed}: " + " + ".join(one.name for one in some), change)
