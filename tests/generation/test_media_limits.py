"""Limits of media: what a file claims is not believed, and what is decoded ends at a limit."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import RED, write_mmproj
from helpers.tiny_models import write_byte_llama

OPTIONS: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 1, "warmup": False, "n_threads": 1}


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    folder = tmp_path_factory.mktemp("media")
    mmproj = write_mmproj(folder / "mmproj.gguf", audio=True)
    with xlc.Engine(write_byte_llama(folder / "base.gguf"), mmproj=mmproj, **OPTIONS) as engine:
        yield engine


def chat(*parts: Any) -> list[xlc.Message]:
    return [xlc.Message(role="user", content=(*parts, xlc.TextPart(text="?")))]


def refused(engine: xlc.Engine, *parts: Any, match: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=match):
        engine.chat(chat(*parts), max_tokens=1)
    with pytest.raises(xlc.InvalidRequestError, match=match):
        engine.count_tokens(chat(*parts))


def flac(n_samples: int, rate: int = 16_000) -> bytes:
    """The header of a sound, and no sound."""
    packed = (rate << 44) | (15 << 36) | n_samples
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info


def wav(n_bytes: int, rate: int) -> bytes:
    """Silence of 8 bits a sample."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    data = struct.pack("<4sI", b"data", n_bytes) + b"\x80" * n_bytes
    return b"RIFF" + struct.pack("<I", 4 + len(form) + len(data)) + b"WAVE" + form + data


def gif(width: int, height: int) -> bytes:
    return (
        b"GIF89a" + struct.pack("<HH", width, height) + bytes([0x80, 0, 0]) + bytes([0, 0, 0, 255, 255, 255])
        + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\x00\x02\x02\x44\x01\x00\x3b"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n_samples", "reason"),
    [
        (1, "is the file damaged"),
        (50_000_000, "is the file damaged"),
        (100_000_000, "60 minutes"),
        (2**36 - 1, "60 min"),
    ],
)
def test_length_in_sounds_header_is_not_believed(omni: xlc.Engine, n_samples: int, reason: str) -> None:
    match = rf"\(audio, 42 bytes\) cannot be decoded: .*{reason}"
    refused(omni, xlc.AudioPart(data=flac(n_samples)), match=match)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux")
def test_memory_follows_the_sound_and_not_its_header(tmp_path: Path) -> None:
    """Run in a process of its own, whose peak of memory shows what was allocated and filled."""
    model, mmproj = write_byte_llama(tmp_path / "base.gguf"), write_mmproj(tmp_path / "mmproj.gguf", audio=True)
    (tmp_path / "bomb").write_bytes(flac(57_000_000))  # 217 MiB of samples, just below an hour
    code = (
        "import re, sys, xlc_core as xlc\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) >> 10\n"
        "with xlc.Engine(sys.argv[1], mmproj=sys.argv[2], n_ctx=512, n_parallel=1, warmup=False) as engine:\n"
        "    before = peak()\n"
        "    part = xlc.AudioPart(path=sys.argv[3])\n"
        "    try:\n"
        "        engine.count_tokens([xlc.Message(role='user', content=(part, xlc.TextPart(text='?')))])\n"
        "    except xlc.InvalidRequestError:\n"
        "        print(peak() - before)\n"
    )
    command = [sys.executable, "-c", code, str(model), str(mmproj), str(tmp_path / "bomb")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert int(done.stdout) < 100, done.stderr


def test_sounds_may_last_an_hour_together(omni: xlc.Engine) -> None:
    match = "the sounds of a request may last 60 minutes together"
    refused(omni, xlc.AudioPart(data=wav(3700, rate=1)), match=match)
    half = xlc.AudioPart(data=wav(1900, rate=1))
    refused(omni, half, half, match=match)


def test_pictures_are_limited_together(omni: xlc.Engine) -> None:
    match = r"message 0, part 4 \(image.* and the pictures before it have more than 100 million pixels"
    refused(omni, *(xlc.ImagePart(data=gif(5000, 5000 - i)) for i in range(8)), match=match)


def webp(kind: bytes, rest: bytes) -> bytes:
    data = kind + struct.pack("<I", len(rest)) + rest
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (webp(b"VP8X", bytes(4) + (16_000).to_bytes(3, "little") + (15_999).to_bytes(3, "little")), "16001 × 16000"),
        (webp(b"VP8X", bytes(4) + (8192).to_bytes(3, "little") + bytes(3)), "wider or higher than the 8192"),
        (webp(b"VP8L", b"\x2f" + ((8999) | 9000 << 14).to_bytes(4, "little") + bytes(9)), "wider or higher"),
        (webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 9000, 9000)), "wider or higher"),
        (webp(b"VP8 ", bytes(30)), "not a picture that can be read"),
        (webp(b"VP8L", bytes(30)), "not a picture that can be read"),
        (webp(b"ICCP", bytes(30)), "not a picture that can be read"),
        (webp(b"", b""), "not a picture that can be read"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_webp_is_limited_by_its_header(omni: xlc.Engine, data: bytes, match: str) -> None:
    refused(omni, xlc.ImagePart(data=data), match=match)


# Programs with the names of ffmpeg and ffprobe: the real ones cannot be made to lie about a video.

PROBE = """#!{python}
import pathlib, sys
pathlib.Path({mark!r}).touch()
print("width={width}\\nheight={height}\\nr_frame_rate=4/1\\nduration={seconds}")
"""
FFMPEG = """#!{python}
import pathlib, sys
pathlib.Path({mark!r}).touch()
sys.stdin.buffer.read()
for _ in range({n_pictures}):
    sys.stdout.buffer.write(bytes({width} * {height} * 3))
"""


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> Path:
    """Put programs on the PATH that answer as if a video had these facts; return a file that appears if one runs."""
    facts = {"python": sys.executable, "mark": str(folder / "ran"), "n_pictures": 1, **facts}
    for name, text in (("ffprobe", PROBE), ("ffmpeg", FFMPEG)):
        program = folder / name
        program.write_text(text.format(**facts))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "ran"


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[xlc.Engine]:
    fake_ffmpeg(tmp_path, monkeypatch, width=28, height=28, seconds=1)
    mmproj = write_mmproj(tmp_path / "mmproj.gguf")
    with xlc.Engine(write_byte_llama(tmp_path / "base.gguf"), mmproj=mmproj, **OPTIONS) as engine:
        assert "video" in engine.info.reads
        yield engine


CLIP = xlc.VideoPart(data=b"\0\0\0\x20ftypisom" + bytes(40))


def test_pictures_of_video_are_read(watching: xlc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, width=28, height=28, seconds=1, n_pictures=4)
    four = watching.chat(chat(CLIP), max_tokens=1).usage.prompt_tokens
    fake_ffmpeg(tmp_path, monkeypatch, width=28, height=28, seconds=2, n_pictures=8)
    assert watching.count_tokens(chat(CLIP)) >= four + 4 * 16


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        (
            {"width": 28, "height": 28, "seconds": 100_000},
            "has about 400000 pictures of 28 × 28 pixels, and at most 1024",
        ),
        ({"width": 8192, "height": 8192, "seconds": 60}, "has about 240 pictures of 8192 × 8192 .* at most 7"),
        ({"width": 100_000, "height": 100_000, "seconds": 1}, "cannot be decoded"),
        ({"width": -5, "height": 28, "seconds": 1}, "cannot be decoded"),
        ({"width": 28, "height": 28, "seconds": 1, "n_pictures": 5000}, "a video has more pictures than"),
        (
            {"width": 28, "height": 28, "seconds": "N/A", "n_pictures": 5000},
            "a video has more pictures than can be read",
        ),
    ],
    ids=str,
)
def test_video_is_limited_by_what_it_claims_and_by_what_it_holds(
    watching: xlc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], match: str
) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, **facts)
    refused(watching, CLIP, match=match)


@pytest.mark.parametrize("data", [RED[:60], RED[:-30]], ids=["60", "-30"])
def test_picture_that_cannot_be_read_never_reaches_ffmpeg(
    watching: xlc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    ran = fake_ffmpeg(tmp_path, monkeypatch, width=28, height=28, seconds=1)
    refused(watching, xlc.ImagePart(data=data), match="cannot be decoded; is the file damaged")
    assert not ran.exists()
    assert watching.chat(chat(CLIP), max_tokens=1).usage.prompt_tokens > 16
    assert ran.exists()
