"""Hostile bytes: session files and media that are cut, changed, or forged with the right checksums."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import zlib
from typing import Any

from helpers.tiny_media import RED, png, wav

__all__ = ["hostile_medium", "hostile_session"]

_N_MAGIC, _N_SUM = 16, 32
_HOSTILE: list[Any] = [0, -1, 2**31, 2**63, 1e308, None, "x", [], {}, [[]], True, "a" * 5000, "\n\x1b[31m"]


def damaged(chance: random.Random, content: bytes) -> bytes:
    """Return the content cut off, or with some bytes changed, inserted or repeated."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        how = chance.randrange(6)
        if how == 0:
            del data[at:]
        elif how == 1:
            del data[at : at + chance.randint(1, 40)]
        elif how == 2:
            data[at:at] = chance.randbytes(chance.randint(1, 40))
        elif how == 3:
            data[at : at + 4] = struct.pack("<I", chance.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1]))
        elif how == 4:
            data[at : at + 8] = struct.pack("<Q", chance.choice([0, 2**31, 2**63, 2**64 - 1]))
        elif data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
    return bytes(data)


def hostile_session(chance: random.Random, content: bytes) -> bytes:
    """Return a session file with damage, a forged header, or a forged state; sums and sizes are right for a forgery."""
    if chance.random() < 0.3:
        return damaged(chance, content)
    version, n_json = struct.unpack_from("<II", content, _N_MAGIC)
    start = _N_MAGIC + 8
    header = json.loads(content[start : start + n_json])
    state = content[start + n_json + _N_SUM :]
    how = chance.randrange(3)
    if how == 0:
        holder = header["settings"] if chance.random() < 0.3 and header["settings"] else header
        key = chance.choice(list(holder))
        holder[key] = chance.choice(_HOSTILE)
        if chance.random() < 0.2:
            del holder[key]
    else:
        state = _forged_state(chance, state)
        header |= {"n_bytes": len(state), "sha256": hashlib.sha256(state).hexdigest()}
        if how == 2:
            header["n_tokens"] = chance.choice([0, 1, 7, header["n_tokens"] + 1, 10**6])
    text = json.dumps(chance.choice([header, header, header, [header], "header", 5])).encode()
    head = content[:_N_MAGIC] + struct.pack("<II", version, len(text)) + text
    return head + hashlib.sha256(head).digest() + state


def _forged_state(chance: random.Random, state: bytes) -> bytes:
    if chance.random() < 0.5:
        return damaged(chance, state)
    # The numbers at the start say how much follows and what it is.
    data = bytearray(state)
    for _ in range(chance.randint(1, 3)):
        at = 4 * chance.randrange(min(64, len(data) // 4))
        data[at : at + 4] = struct.pack("<I", chance.choice([0, 1, 2, 255, 2**20, 2**31 - 1, 2**31, 2**32 - 1]))
    return bytes(data)


def hostile_medium(chance: random.Random) -> tuple[str, bytes]:
    """Return a kind of medium, and bytes of a picture, a sound or neither."""
    kind = chance.choice(["image", "audio", "video"])
    sound = [wav(440, seconds=0.1), _wav(chance), _flac(chance), b"ID3" + chance.randbytes(60), b"OggS" + bytes(80)]
    picture = [RED, png((1, 2, 3), width=3, height=200), _png(chance), _gif(chance), _bmp(chance), _ppm(chance)]
    content = chance.choice([*(sound if kind == "audio" else picture), chance.choice(sound), chance.randbytes(64), b""])
    return kind, damaged(chance, content) if chance.random() < 0.6 else content


_SIZES = [0, 1, 28, 4096, 30_000, 65_535, 2**31 - 1, 2**31, 2**32 - 1]


def _png(chance: random.Random) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">II", chance.choice(_SIZES), chance.choice(_SIZES))
    depth = bytes([chance.choice([1, 8, 16, 3]), chance.choice([0, 2, 3, 4, 6, 9]), 0, 0, chance.choice([0, 1, 2])])
    pixels = zlib.compress(bytes(chance.choice([10, 10_000, 3_000_000])))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + depth) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _gif(chance: random.Random) -> bytes:
    size = struct.pack("<HH", chance.choice(_SIZES) % 65_536, chance.choice(_SIZES) % 65_536)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\x02\x02\x4c\x01\0;"


def _bmp(chance: random.Random) -> bytes:
    size = struct.pack("<II", chance.choice(_SIZES), chance.choice(_SIZES))
    form = struct.pack("<HH", 1, chance.choice([1, 8, 16, 24, 32, 64]))
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + struct.pack("<I", 40) + size + form + bytes(40)


def _ppm(chance: random.Random) -> bytes:
    return b"P6 %d %d 255\n" % (chance.choice(_SIZES), chance.choice(_SIZES)) + bytes(30)


def _wav(chance: random.Random) -> bytes:
    channels, bits = chance.choice([0, 1, 2, 65_535]), chance.choice([0, 8, 16, 24, 32, 64, 65_535])
    rate = chance.choice([0, 1, 8000, 16_000, 2**31, 2**32 - 1])
    form = struct.pack("<HHIIHH", chance.choice([1, 3, 17, 65_534]), channels, rate, rate, 4, bits)
    size = struct.pack("<I", chance.choice(_SIZES))
    return b"RIFF" + size + b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + size + bytes(400)


def _flac(chance: random.Random) -> bytes:
    n_samples = chance.choice([0, 16_000, 2**31, 2**36 - 1])
    rate = chance.choice([0, 1, 16_000, 655_350])
    packed = (rate << 44 | 0 << 41 | 15 << 36 | n_samples).to_bytes(8, "big")
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + packed + bytes(16)
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + chance.randbytes(chance.choice([0, 60]))
