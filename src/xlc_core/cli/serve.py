"""``xllama serve``: OpenAI's HTTP API on models of this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from xlc_core.errors import InvalidRequestError, XllamaError

__all__ = ["serve"]

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Models to serve by these names: of the catalog, hf:owner/repo[:quant-or-file], or paths. Without "
            "any: those of the catalog that are on this disk.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--models", help="A TOML file of names, models and options.", dir_okay=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. Others than loopback need a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 8080,
    api_key: Annotated[
        list[str] | None,
        typer.Option(envvar="XLLAMA_API_KEY", help="Key that clients must send; may be repeated.", show_default=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name of this server in a client's Host header; may be repeated.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Origin of web pages that may call the server; may be repeated.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory for all models together, such as 12GiB.")] = None,
    keep_alive: Annotated[
        str, typer.Option(help="Time that a model stays open without use, such as 10m; -1: until memory is needed.")
    ] = "-1",
    n_ctx: Annotated[int | None, typer.Option(min=2, help="Tokens that one request may hold.")] = None,
    n_parallel: Annotated[int | None, typer.Option(min=1, help="Requests that are answered at once.")] = None,
    device: Annotated[str, typer.Option(help="What computes: auto, cpu, cuda, vulkan…")] = "auto",
    local_media: Annotated[
        Path | None, typer.Option(help="Folder whose files messages may name.", file_okay=False)
    ] = None,
    media_host: Annotated[
        list[str] | None, typer.Option(help="Host from which images and sound are fetched; may be repeated.")
    ] = None,
    slot_save_path: Annotated[
        Path | None, typer.Option(help="Folder for conversations that /slots saves.", file_okay=False, exists=True)
    ] = None,
    max_requests: Annotated[int, typer.Option(min=1, help="Requests that run or wait; further ones get 429.")] = 128,
    max_body_mib: Annotated[int, typer.Option(min=1, help="Size of a request, in MiB.")] = 64,
    timeout: Annotated[float | None, typer.Option(help="Seconds that a request may take.")] = None,
    grace: Annotated[int, typer.Option(min=0, help="Seconds that answers may go on when the server ends.")] = 30,
    access_log: Annotated[bool, typer.Option(help="Log a line for each request.")] = True,
    ui: Annotated[bool, typer.Option(help="Serve a page to chat and to try constraints at /.")] = True,
) -> None:
    """Serve models through OpenAI's HTTP API; needs the extra `server`.

    Try:

        xllama serve qwen3-4b all-minilm-l6-v2

        xllama serve --models models.toml --memory 12GiB --keep-alive 10m
    """
    try:
        from xlc_server.serving import run_server
    except ImportError as error:
        raise XllamaError(
            f"the server needs packages that are not installed ({error.name or error}); run "
            "`pip install 'xllama[server]'`"
        ) from None
    from xlc_core.engine.pool import EnginePool
    from xlc_core.engine.pool_models import read_names

    names: dict[str, Any] = read_names(config) if config is not None else {}
    names.update({model: model for model in models or ()})
    options: dict[str, Any] = {"n_ctx": n_ctx, "n_parallel": n_parallel, "device": device}
    if local_media is not None:
        options["allow_local_media"] = local_media
    if media_host:
        options["allow_remote_media"] = media_host
    pool = EnginePool(
        names,
        memory=None if memory is None else to_bytes(memory),
        keep_alive=keep_alive,
        others="none" if names else "local",
        **options,
    )
    if models:
        pool.acquire(models[0]).release()  # so that a wrong name or a lack of memory ends the command
    run_server(
        pool,
        host=host,
        port=port,
        grace=grace,
        access_log=access_log,
        ui=ui,
        api_keys=tuple(api_key or ()),
        allowed_hosts=tuple(allow_host or ()),
        cors_origins=tuple(cors_origin or ()),
        slot_save_path=slot_save_path,
        max_requests=max_requests,
        max_body_bytes=max_body_mib << 20,
        timeout=timeout,
    )


def to_bytes(text: str) -> int:
    """Return a size such as ``12GiB`` or ``800M`` in bytes.

    Raises:
        InvalidRequestError: it is not a size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidRequestError(f"--memory must be a size such as 12GiB, got {text!r}")
    number, unit, is_binary = found.groups()
    return int(float(number) * (1024 if is_binary else 1000) ** (" kmgt".index(unit.lower() or " ")))
