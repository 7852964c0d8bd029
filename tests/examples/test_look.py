"""The example that looks at images, run as a user runs it, on a tiny model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.tiny_media import LOW, RED, write_mmproj
from helpers.tiny_models import write_byte_llama

SCRIPT = Path(__file__).parents[2] / "examples" / "look.py"


def look(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=120, check=False,
    )  # fmt: skip


def test_look_reads_images_and_sound(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "model.gguf")
    mmproj = write_mmproj(tmp_path / "mmproj.gguf", audio=True)
    (tmp_path / "red.png").write_bytes(RED)
    (tmp_path / "tone.wav").write_bytes(LOW)
    options = ("--model", model, "--mmproj", mmproj, "--max-tokens", "5")
    done = look(tmp_path / "red.png", tmp_path / "tone.wav", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert int(done.stderr.split("[")[1].split()[0]) > 166
    failed = look(tmp_path / "gone.png", *options)
    assert failed.returncode == 1
    assert "gone.png' cannot be read" in failed.stderr
