"""``/props``: what llama-server says about a model and itself, as far as it is true here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xlc_core import Engine, __version__, llama_cpp_version
from xlc_server.service import Body, Service

__all__ = ["PropsBody", "answer_props"]


class PropsBody(Body):
    """Which model is asked for."""

    from_url: ClassVar = ("model",)


async def answer_props(service: Service, body: PropsBody) -> Mapping[str, Any]:
    """Return a model's default settings, slots, chat template and abilities. Opens it."""
    with await service.engine(body) as lease:
        return _props(service, lease.engine, service.model_name(body))


def _props(service: Service, engine: Engine, name: str) -> Mapping[str, Any]:
    info = engine.info
    params = engine.request_settings() if info.can_generate else {}
    return {
        "default_generation_settings": {"n_ctx": info.n_ctx, "params": params},
        "total_slots": info.n_parallel,
        "model_alias": name,
        "model_path": Path(info.path).name,  # not the server's folders
        "model_description": info.description,
        "modalities": {
            "vision": "image" in info.reads,
            "audio": "audio" in info.reads,
            "video": "video" in info.reads,
        },
        "chat_template": engine.chat_template,
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "can_save_slots": service.options.slot_save_path is not None,
        "build_info": f"xllama {__version__}, llama.cpp {llama_cpp_version()}",
        "is_sleeping": engine.asleep,
    }
