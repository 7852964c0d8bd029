"""A web service around one model: an ASGI app without a framework, for any ASGI server.

    pip install uvicorn
    uvicorn --app-dir examples async_server:app
    curl -N localhost:8000/chat -d '{"messages": [{"role": "user", "content": "Tell me a story."}]}'

Answers are server-sent events. Requests share the model's slots; further requests wait for their turn without a thread.
When a client disconnects, its answer is stopped and its slot becomes free. A framework would add routing and
validation; the handler would be the same.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.messages import convert_to_messages

from xlc_core import XllamaError
from xlc_langchain import ChatXLlama

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

llm = ChatXLlama(
    model=os.environ.get("XLLAMA_MODEL", "smollm2-135m-instruct"),
    n_ctx=2048,
    max_tokens=256,
    timeout=60,
)


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Load the model when the server starts, answer requests, and release the model when it ends."""
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif (scope["type"], scope["method"], scope["path"]) == ("http", "POST", "/chat"):
        await chat(receive, send)
    else:
        await respond(send, 404, {"error": "POST /chat is all there is"})


async def live(receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.to_thread(llm.load)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    llm.close()
    await send({"type": "lifespan.shutdown.complete"})


async def chat(receive: Receive, send: Send) -> None:
    """Answer one request, and stop when its client has disconnected."""
    try:
        messages = convert_to_messages(json.loads(await read_body(receive))["messages"])
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        await respond(send, 400, {"error": f'send {{"messages": […]}}: {error}'})
        return
    answering = asyncio.ensure_future(stream(messages, send))
    leaving = asyncio.ensure_future(gone(receive))
    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    for task in (answering, leaving):
        task.cancel()
    results = await asyncio.gather(answering, leaving, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def stream(messages: list[Any], send: Send) -> None:
    """Send an answer as it is generated. Errors in a request are raised before its first token."""
    chunks = llm.astream(messages)
    try:
        first = await anext(chunks)
    except XllamaError as error:
        await respond(send, 422, {"error": str(error)})
        return
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(event({"text": first.text}))
    try:
        async for chunk in chunks:
            if chunk.text:
                await send(event({"text": chunk.text}))
            if chunk.usage_metadata:
                await send(event({"usage": chunk.usage_metadata}))
    except XllamaError as error:  # such as a timeout in the middle
        await send(event({"error": str(error)}))
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def event(data: dict[str, Any]) -> dict[str, Any]:
    return {"type": "http.response.body", "body": f"data: {json.dumps(data)}\n\n".encode(), "more_body": True}


async def read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, data: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})
