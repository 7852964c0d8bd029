"""Projectors of some hundred kilobytes with random weights that read images and sound for the tiny llama, and tiny
images and sounds for them.
"""

from __future__ import annotations

import io
import struct
import wave
import zlib
from pathlib import Path

import gguf
import numpy as np

from helpers.tiny_models import N_EMBD

IMAGE_TOKENS = 16
AUDIO_TOKENS = 150  # of thirty seconds, to which every sound is filled up
_SIZE, _PATCH, _WIDTH, _HEADS, _FF, _LAYERS = 28, 7, 16, 2, 32, 2
_N_MEL, _STACK, _N_FRAMES = 80, 10, 1500  # llama.cpp miscounts for factors that do not divide


class _Projector:
    def __init__(self, path: Path, *, seed: int, n_text: int) -> None:
        self.writer = gguf.GGUFWriter(path, "clip")
        self.writer.add_type("mmproj")
        self.n_text = n_text
        self._rng = np.random.default_rng(seed)

    def add(self, name: str, *shape: int, dtype: type = np.float32, mean: float = 0.0) -> None:
        self.writer.add_tensor(name, (mean + self._rng.normal(0, 0.3, shape)).astype(dtype))

    def linear(self, name: str, n_out: int, n_in: int, *, bias: bool = True) -> None:
        self.add(f"{name}.weight", n_out, n_in)
        if bias:
            self.add(f"{name}.bias", n_out)

    def encoder(self, kind: str, prefix: str, *, key_bias: bool) -> None:
        for key, value in (
            ("embedding_length", _WIDTH), ("attention.head_count", _HEADS), ("feed_forward_length", _FF),
            ("block_count", _LAYERS), ("projection_dim", self.n_text),
        ):  # fmt: skip
            self.writer.add_uint32(f"clip.{kind}.{key}", value)
        self.writer.add_float32(f"clip.{kind}.attention.layer_norm_epsilon", 1e-5)
        for layer in range(_LAYERS):
            block = f"{prefix}.blk.{layer}"
            for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
                self.linear(f"{block}.{name}", _WIDTH, _WIDTH, bias=name != "attn_k" or key_bias)
            for name in ("ln1", "ln2"):
                self.add(f"{block}.{name}.weight", _WIDTH, mean=1.0)
                self.add(f"{block}.{name}.bias", _WIDTH)
            self.linear(f"{block}.ffn_up", _FF, _WIDTH)
            self.linear(f"{block}.ffn_down", _WIDTH, _FF)

    def vision(self, projector: str) -> None:
        """The encoder of CLIP with LLaVA's projector (``mlp``), or SigLIP's with Gemma 3's (``gemma3``)."""
        writer = self.writer
        writer.add_bool("clip.has_vision_encoder", True)
        writer.add_string("clip.vision.projector_type", projector)
        writer.add_bool("clip.use_gelu", True)
        writer.add_uint32("clip.vision.image_size", _SIZE)
        writer.add_uint32("clip.vision.patch_size", _PATCH)
        writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
        writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
        self.encoder("vision", "v", key_bias=True)
        self.add("v.patch_embd.weight", _WIDTH, 3, _PATCH, _PATCH)
        self.add("v.position_embd.weight", IMAGE_TOKENS, _WIDTH)
        if projector == "gemma3":
            writer.add_uint32("clip.vision.projector.scale_factor", 1)
            self.add("mm.input_projection.weight", _WIDTH, self.n_text)
            self.add("mm.soft_emb_norm.weight", _WIDTH, mean=1.0)
        else:
            self.linear("mm.0", self.n_text, _WIDTH)
            self.linear("mm.2", self.n_text, self.n_text)

    def audio(self) -> None:
        """Whisper's encoder with Ultravox's projector."""
        self.writer.add_bool("clip.has_audio_encoder", True)
        self.writer.add_string("clip.audio.projector_type", "ultravox")
        self.writer.add_uint32("clip.audio.num_mel_bins", _N_MEL)
        self.writer.add_uint32("clip.audio.projector.stack_factor", _STACK)
        self.encoder("audio", "a", key_bias=False)
        self.add("a.position_embd.weight", _N_FRAMES, _WIDTH)
        for number, n_in in ((1, _N_MEL), (2, _WIDTH)):
            self.add(f"a.conv1d.{number}.weight", _WIDTH, n_in, 3, dtype=np.float16)
            self.add(f"a.conv1d.{number}.bias", _WIDTH, 1)
        self.add("mm.a.norm_pre.weight", _WIDTH * _STACK, mean=1.0)
        self.linear("mm.a.mlp.1", 2 * _FF, _WIDTH * _STACK, bias=False)
        self.add("mm.a.norm_mid.weight", _FF, mean=1.0)
        self.linear("mm.a.mlp.2", self.n_text, _FF, bias=False)


def write_mmproj(path: Path, *, vision: str = "mlp", audio: bool = False, seed: int = 7, n_text: int = N_EMBD) -> Path:
    """Write a projector.

    Args:
        path: where to.
        vision: the kind that reads images: ``mlp``, ``gemma3``; empty for none.
        audio: whether it reads sound too.
        seed: of the weights.
        n_text: ``n_embd`` of the model that it is for.
    """
    projector = _Projector(path, seed=seed, n_text=n_text)
    if vision:
        projector.vision(vision)
    if audio:
        projector.audio()
    writer = projector.writer
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def png(colour: tuple[int, int, int], *, width: int = 28, height: int = 28) -> bytes:
    """A picture in one colour, with a white corner."""
    pixels = np.full((height, width, 3), colour, np.uint8)
    pixels[: height // 3, : width // 3] = 255
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(frequency: float, *, seconds: float = 0.25) -> bytes:
    """A tone."""
    times = np.arange(int(16_000 * seconds)) / 16_000
    samples = (np.sin(2 * np.pi * frequency * times) * 20_000).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


RED, BLUE = png((255, 0, 0)), png((0, 0, 255))
LOW, HIGH = wav(220), wav(1760)
