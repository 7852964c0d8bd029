"""``/slots``: the slots of a model, and conversations in files, as llama-server has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from xlc_core import Engine, SessionInfo
from xlc_server.errors import ApiError, not_supported
from xlc_server.service import Body, Service

__all__ = ["SlotActionBody", "SlotsBody", "answer_slot_action", "answer_slots"]

_LONGEST_NAME = 255
_REFUSED = frozenset('/\\:*?"<>|\x7f\uff0e\u2215\u2216\ufffd\ufeff')
"""Characters that a file's name must not hold, and those that look like them; llama-server has the same list."""


class SlotsBody(Body):
    """Which slots are asked for."""

    model_config = ConfigDict(strict=False)  # a URL and a form have texts only
    from_url: ClassVar = ("model", "fail_on_no_slot")

    fail_on_no_slot: bool = False


class SlotActionBody(Body):
    """Saves a slot's conversation, or restores it."""

    model_config = ConfigDict(strict=False)  # a URL and a form have texts only
    from_url: ClassVar = ("id_slot", "action", "model")

    id_slot: int = Field(ge=0)
    action: Literal["save", "restore", "erase"]
    filename: str | None = None
    messages: list[dict[str, Any]] | None = Field(None, min_length=1)
    prompt: str | None = None


async def answer_slots(service: Service, body: SlotsBody) -> list[dict[str, Any]]:
    """Return the slots of a model: none if it is not open."""
    name = service.model_name(body)
    await service.require_listed(name)
    engine = service.pool.opened(name)
    if engine is None or engine.closed or not engine.info.n_parallel:
        return []
    metrics, info = engine.metrics(), engine.info
    n_busy = min(metrics.requests_running, info.n_parallel)
    if body.fail_on_no_slot and n_busy == info.n_parallel:
        raise ApiError(503, "no slot is free", kind="unavailable_error", code="no_slot")
    is_speculative = bool(engine.options.speculation)
    return [
        {"id": number, "n_ctx": info.n_ctx, "speculative": is_speculative, "is_processing": number < n_busy}
        for number in range(info.n_parallel)
    ]


async def answer_slot_action(service: Service, body: SlotActionBody) -> Mapping[str, Any]:
    """Save a conversation to a file of the server, or restore it."""
    folder = service.options.slot_save_path
    if folder is None:
        raise not_supported("this server keeps no conversations in files; start it with --slot-save-path FOLDER")
    if body.action == "erase":
        raise not_supported(
            "a slot is not erased here: it is reused when it is needed. With cache_prompt=false a request ignores it"
        )
    path = folder / _checked_name(body.filename)
    with await service.engine(body) as lease:
        engine = lease.engine
        if body.id_slot >= engine.info.n_parallel:
            raise ApiError(400, f"id_slot: the model has {engine.info.n_parallel} slots, from 0", param="id_slot")
        if body.action == "save":
            return await _save(engine, body, path)
        started = time.perf_counter()
        info = await _on_disk(lambda: engine.load_session(path), path.name)
        return {
            "id_slot": body.id_slot,
            "filename": path.name,
            "n_restored": info.n_tokens,
            "n_read": info.n_bytes,
            "timings": {"restore_ms": (time.perf_counter() - started) * 1000},
        }


async def _save(engine: Engine, body: SlotActionBody, path: Path) -> Mapping[str, Any]:
    if body.messages is None and body.prompt is None and engine.info.n_parallel > 1:
        raise ApiError(
            400,
            "messages: the engine moves conversations among its slots, so with several slots a number does not "
            "name one; send its messages, or the prompt",
            param="messages",
        )
    started = time.perf_counter()
    info = await _on_disk(lambda: engine.save_session(path, body.messages, prompt=body.prompt), path.name)
    return {
        "id_slot": body.id_slot,
        "filename": path.name,
        "n_saved": info.n_tokens,
        "n_written": info.n_bytes,
        "timings": {"save_ms": (time.perf_counter() - started) * 1000},
    }


async def _on_disk(work: Callable[[], SessionInfo], name: str) -> SessionInfo:
    try:
        return await asyncio.to_thread(work)
    except FileNotFoundError:
        raise ApiError(404, f"there is no file {name!r}", code="file_not_found", param="filename") from None
    except OSError as error:
        reason = f"the file {name!r} cannot be used: {error.strerror}"
        raise ApiError(500, reason, kind="server_error", code="file_failed", param="filename") from None


def _checked_name(name: str | None) -> str:
    """Return the name of a file in the folder, with llama-server's rules for names.

    Raises:
        ApiError: it could mean a file elsewhere, or one that some system does not take.
    """
    is_right = (
        name is not None
        and 0 < len(name.encode("utf-8", "replace")) <= _LONGEST_NAME
        and not any(character in _REFUSED or _is_control(character) for character in name)
        and ".." not in name
        and name == name.strip(" ").removesuffix(".")
    )
    if name is None or not is_right:
        raise ApiError(
            400, "filename: give the name of a file in the server's folder, such as 'talk.bin'", param="filename"
        )
    return name


def _is_control(character: str) -> bool:
    number = ord(character)
    return number < 0x20 or 0x80 <= number <= 0x9F or 0xD800 <= number <= 0xDFFF
