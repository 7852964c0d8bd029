"""``/lora-adapters``: the LoRA adapters of a model and their scales, as llama-server has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from xlc_core import Engine
from xlc_server.service import Body, LoraScale, Service, scales_by_name

__all__ = ["AdaptersBody", "ScalesBody", "answer_adapters", "answer_scales"]


class AdaptersBody(Body):
    """Which model is asked for."""

    from_url: ClassVar = ("model",)


class ScalesBody(AdaptersBody):
    """New scales; adapters that are not in the list get 0."""

    adapters: list[LoraScale]


async def answer_adapters(service: Service, body: AdaptersBody) -> list[dict[str, Any]]:
    """Return the LoRA adapters of a model, with their scales. Opens it."""
    with await service.engine(body) as lease:
        return _listed(lease.engine)


async def answer_scales(service: Service, body: ScalesBody) -> list[dict[str, Any]]:
    """Change the scales of a model's LoRA adapters, for the requests that follow."""
    with await service.engine(body) as lease:
        engine = lease.engine
        engine.set_lora_scales(scales_by_name(body.adapters, list(engine.lora_scales)))
        return _listed(engine)


def _listed(engine: Engine) -> list[dict[str, Any]]:
    paths = {lora.key: Path(str(lora.path)).name for lora in engine.options.lora}
    return [
        {"id": number, "path": paths[name], "name": name, "scale": scale}
        for number, (name, scale) in enumerate(engine.lora_scales.items())
    ]
