"""Ask a model about images and sounds.

    python examples/look.py photo.jpg --question "What is on the table?" --model model.gguf --mmproj mmproj.gguf

Needs a model with a multimodal projector, such as SmolVLM, Gemma 3 or Qwen2.5-VL; by default both files come from the
hub. You may name several files; the extension says whether a file is an image, a sound or a video.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

import xlc_core as xlc

HUB = "hf:ggml-org/SmolVLM-256M-Instruct-GGUF"
KINDS = {".wav": xlc.AudioPart, ".mp3": xlc.AudioPart, ".flac": xlc.AudioPart, ".mp4": xlc.VideoPart}


def main(
    files: Annotated[list[Path], typer.Argument(help="Images, sounds and videos.")],
    question: Annotated[str, typer.Option(help="What to ask about them.")] = "Describe this.",
    model: Annotated[str, typer.Option(help="A path, a name or hf:owner/repo.")] = HUB,
    mmproj: Annotated[str, typer.Option(help="The projector's file; auto: beside the model.")] = "auto",
    max_tokens: Annotated[int, typer.Option(help="Tokens of the answer.")] = 128,
) -> None:
    """Ask about files."""
    parts = [KINDS.get(file.suffix.lower(), xlc.ImagePart)(path=file) for file in files]
    message = xlc.Message(role="user", content=(*parts, xlc.TextPart(text=question)))
    with xlc.Engine(model, mmproj=mmproj, n_ctx=8192, n_parallel=1) as engine:
        print(f"[{engine.count_tokens([message])} tokens to read]", file=sys.stderr)
        with engine.stream_chat([message], max_tokens=max_tokens) as stream:
            for event in stream:
                if isinstance(event, xlc.TextDelta):
                    print(event.text, end="", flush=True)
    print()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
