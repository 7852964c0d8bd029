"""OpenAI's HTTP API on models in this process: under an ASGI server, inside an app of yours, or without a port.

Examples:
    >>> import xlc_server
    >>> client = xlc_server.openai_client("smollm2-135m-instruct")  # openai.OpenAI, without a server
    >>> app = xlc_server.create_app("smollm2-135m-instruct")  # for uvicorn, or to mount into another app
"""

try:
    import orjson  # noqa: F401
    import starlette  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_server needs starlette and orjson: pip install 'xllama[server]'") from error

from xlc_server.app import create_app
from xlc_server.clients import async_http_client, async_openai_client, http_client, openai_client
from xlc_server.options import ServerOptions

__all__ = [
    "ServerOptions",
    "async_http_client",
    "async_openai_client",
    "create_app",
    "http_client",
    "openai_client",
]
