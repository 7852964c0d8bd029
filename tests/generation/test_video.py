"""Video in messages: pictures that ffmpeg takes out of it, so only where ffmpeg is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import BLUE, IMAGE_TOKENS, RED, write_mmproj
from helpers.tiny_models import write_byte_llama

pytestmark = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="needs ffmpeg and ffprobe"
)

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 6, "ignore_eos": True}


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, timeout=60)


def clip(path: Path, picture: bytes, seconds: int) -> Path:
    """Write a video of one picture."""
    still = path.with_suffix(".png")
    still.write_bytes(picture)
    ffmpeg("-loop", "1", "-i", still, "-t", str(seconds), "-r", "4", "-c:v", "mpeg4", path)
    return path


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    folder = tmp_path_factory.mktemp("models")
    mmproj = write_mmproj(folder / "mmproj.gguf")
    with xlc.Engine(write_byte_llama(folder / "base.gguf"), mmproj=mmproj, n_ctx=2048, n_parallel=1) as engine:
        yield engine


def watch(video: xlc.VideoPart) -> list[xlc.Message]:
    return [xlc.Message(role="user", content=(xlc.TextPart(text="What?"), video))]


def test_video_is_read_picture_by_picture(seeing: xlc.Engine, tmp_path: Path) -> None:
    assert seeing.info.reads == {"image", "video"}
    red, blue = clip(tmp_path / "red.mp4", RED, 1), clip(tmp_path / "blue.mp4", BLUE, 1)
    longer = clip(tmp_path / "longer.mp4", RED, 3)
    answer = seeing.chat(watch(xlc.VideoPart(path=red)), **GREEDY)
    assert seeing.chat(watch(xlc.VideoPart(data=red.read_bytes())), **GREEDY).text == answer.text
    assert seeing.chat(watch(xlc.VideoPart(path=blue)), **GREEDY).text != answer.text
    assert answer.usage.prompt_tokens > IMAGE_TOKENS
    n_tokens = seeing.count_tokens(watch(xlc.VideoPart(path=longer)))
    assert n_tokens == seeing.chat(watch(xlc.VideoPart(path=longer)), **GREEDY).usage.prompt_tokens
    assert n_tokens >= answer.usage.prompt_tokens + 2 * IMAGE_TOKENS


def test_webp_is_an_image(seeing: xlc.Engine, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    ffmpeg("-i", tmp_path / "red.png", "-lossless", "1", tmp_path / "red.webp")
    part = xlc.ImagePart(path=tmp_path / "red.webp")
    message = xlc.Message(role="user", content=(part,))
    same = xlc.Message(role="user", content=(xlc.ImagePart(data=RED),))
    assert seeing.chat([message], **GREEDY).text == seeing.chat([same], **GREEDY).text


@pytest.mark.parametrize(
    "data", [b"no moving pictures", RED, b"\0\0\0\x20ftypisom" + bytes(40)], ids=["text", "png", "mp4"]
)
def test_file_that_is_not_a_video_is_refused(seeing: xlc.Engine, data: bytes) -> None:
    reason = r"part 1 \(video, \d+ bytes\) (is not a video|cannot be decoded)"
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        seeing.chat(watch(xlc.VideoPart(data=data)))
