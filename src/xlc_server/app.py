"""The ASGI application: its routes, and what stands before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xlc_core import EnginePool, PoolNames
from xlc_server.chat import ChatBody, answer_chat, stream_chat
from xlc_server.completions import CompletionBody, answer_completion, stream_completion
from xlc_server.dialects import ANTHROPIC, LLAMA_SERVER, RESPONSES, dialect_of
from xlc_server.embeddings import EmbeddingBody, answer_embedding
from xlc_server.endpoint import ByMethod, Endpoint
from xlc_server.errors import ApiError, error_body, to_api_error
from xlc_server.explaining import ExplainBody, answer_explanation
from xlc_server.forms import read_form
from xlc_server.guard import guarding
from xlc_server.infill import InfillBody, answer_infill, stream_infill
from xlc_server.lora_adapters import AdaptersBody, ScalesBody, answer_adapters, answer_scales
from xlc_server.messages import CountBody, MessagesBody, answer_count, answer_message, stream_message
from xlc_server.metrics import render_metrics
from xlc_server.openapi import describe_api
from xlc_server.options import ServerOptions
from xlc_server.page import page_routes
from xlc_server.props import PropsBody, answer_props
from xlc_server.reading import read_list, read_nothing
from xlc_server.rerank import RerankBody, answer_rerank
from xlc_server.responses import ResponsesBody, answer_response, stream_response
from xlc_server.sending import to_bytes
from xlc_server.service import Service, now
from xlc_server.slots import SlotActionBody, SlotsBody, answer_slot_action, answer_slots
from xlc_server.tokens import (
    DetokenizeBody,
    TokenizeBody,
    answer_detokenize,
    answer_template,
    answer_tokenize,
)
from xlc_server.transcriptions import TranscriptionBody, answer_transcription, stream_transcription

__all__ = ["create_app"]


def create_app(models: EnginePool | PoolNames = (), **options: Any) -> Starlette:
    """Return an ASGI application that answers as OpenAI's API does: for an ASGI server, or to mount into another.

    Args:
        models: a pool of engines, which stays open; or the names of models for a pool of the application's own, which
            opens only those, or without names those of the catalog that are on this disk. Its own pool is closed
            when the server ends.
        **options: fields of ServerOptions.

    Raises:
        InvalidRequestError: an option is wrong.
    """
    checked = ServerOptions.checked(**options)
    is_own = not isinstance(models, EnginePool)
    pool = models if isinstance(models, EnginePool) else EnginePool(models, others="local" if models == () else "none")
    service = Service(pool, checked)

    @contextlib.asynccontextmanager
    async def live(_: Starlette) -> AsyncIterator[None]:
        yield
        if is_own:
            await asyncio.to_thread(pool.close)

    app = Starlette(
        routes=_routes(service),
        middleware=guarding(checked),
        exception_handlers={HTTPException: _refuse},
        lifespan=live,
    )
    app.state.pool = pool
    return app


def _routes(service: Service) -> list[Route]:
    chat = Endpoint(service, ChatBody, answer_chat, stream_chat)
    rank = Endpoint(service, RerankBody, answer_rerank)
    reads: Any = {"method": "GET", "reader": read_nothing}
    endpoints: dict[str, tuple[Endpoint[Any], ...]] = {
        "/v1/chat/completions": (chat,),
        "/v1/responses": (Endpoint(service, ResponsesBody, answer_response, stream_response, RESPONSES),),
        "/v1/messages": (Endpoint(service, MessagesBody, answer_message, stream_message, ANTHROPIC),),
        "/v1/messages/count_tokens": (Endpoint(service, CountBody, answer_count, dialect=ANTHROPIC),),
        "/v1/completions": (Endpoint(service, CompletionBody, answer_completion, stream_completion),),
        "/v1/embeddings": (Endpoint(service, EmbeddingBody, answer_embedding),),
        "/v1/rerank": (rank,),
        "/v2/rerank": (rank,),
        "/rerank": (rank,),
        "/v1/audio/transcriptions": (
            Endpoint(
                service,
                TranscriptionBody,
                answer_transcription,
                stream_transcription,
                reader=read_form,
                answers_text=True,
            ),
        ),
        "/infill": (Endpoint(service, InfillBody, answer_infill, stream_infill, LLAMA_SERVER),),
        "/tokenize": (Endpoint(service, TokenizeBody, answer_tokenize),),
        "/detokenize": (Endpoint(service, DetokenizeBody, answer_detokenize),),
        "/apply-template": (Endpoint(service, ChatBody, answer_template),),
        "/constraints/explain": (Endpoint(service, ExplainBody, answer_explanation),),
        "/slots": (Endpoint(service, SlotsBody, answer_slots, **reads, is_counted=False),),
        "/slots/{id_slot}": (Endpoint(service, SlotActionBody, answer_slot_action),),
        "/props": (Endpoint(service, PropsBody, answer_props, **reads),),
        "/lora-adapters": (
            Endpoint(service, AdaptersBody, answer_adapters, **reads),
            Endpoint(service, ScalesBody, answer_scales, reader=read_list("adapters")),
        ),
    }

    async def health(_: Request) -> Response:
        return _json({"status": "ok"})

    async def openapi(_: Request) -> Response:
        return _json(document)

    async def metrics(_: Request) -> Response:
        text = await asyncio.to_thread(render_metrics, service)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def models(_: Request) -> Response:
        names = await asyncio.to_thread(service.pool.names)
        return _json({"object": "list", "data": [_model(name, started) for name in names]})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            await service.require_listed(name)
        except Exception as error:
            return _error(to_api_error(error))
        return _json(_model(name, started))

    started, document = now(), describe_api(endpoints)
    return [
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        *(
            Route(path, ByMethod(choices), methods=[choice.method for choice in choices])
            for path, choices in endpoints.items()
        ),
        *(page_routes() if service.options.ui else ()),
    ]


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "xllama"}


def _json(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_bytes(data), status, headers, media_type="application/json")


def _error(error: ApiError) -> Response:
    return _json(error_body(error), error.status, error.headers)


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer a request whose path or method is not served."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    path = f"{request.method} {request.url.path}"
    message = f"{path} is not served here" if status == 404 else f"{path}: {error}"
    refused = ApiError(status, message[:500], code="not_found" if status == 404 else None)
    return _json(dialect_of(request.url.path).error(refused), status, {**refused.headers, **(headers or {})})
