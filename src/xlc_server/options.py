"""Options of the application: who may call it, and its limits."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, DirectoryPath, Field, ValidationError, field_validator
from typing_extensions import Self

from xlc_core import InvalidRequestError
from xlc_server.errors import to_api_error

__all__ = ["ServerOptions"]


class ServerOptions(BaseModel):
    """Who may call the application, and its limits.

    Attributes:
        api_keys: keys, one of which every request but ``/health`` and the page must carry as
            ``Authorization: Bearer …``. Without any, only programs on this machine are answered, and only if they name
            it by a local name.
        allowed_hosts: names in the ``Host`` header that are accepted, such as ``"example.org"``, without a port.
            Empty: with a key any, else ``localhost`` and addresses of this machine's own interface.
        cors_origins: origins of web pages that may call it, such as ``"https://example.org"``; ``"*"`` for any.
        protect: False leaves all this to the application in which this one is mounted [True].
        allow_any_model: whether a request may name any model that the pool may open, also paths and models of the hub,
            which are downloaded. False: those that ``/v1/models`` lists [False].
        max_body_bytes: bytes of a request's body, images and sound included.
        max_requests: requests that are answered or wait at the same time; a further one gets status 429 [128].
        max_inputs: texts to embed or documents to rank in one request [2048].
        slot_save_path: folder for the conversations that ``/slots`` saves; None: it saves nothing.
        timeout: seconds that a request may take; None: without limit.
        stall_timeout: seconds after which a client that does not send its body or read its answer is given up [120].
        ui: whether ``/`` is a page to chat and to try constraints. False, unlike ``xllama serve``: an application in
            which this one is mounted has pages of its own [False].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_keys: tuple[str, ...] = Field((), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    protect: bool = True
    allow_any_model: bool = False
    max_body_bytes: int = Field(64 << 20, ge=1)
    max_requests: int = Field(128, ge=1)
    max_inputs: int = Field(2048, ge=1)
    slot_save_path: DirectoryPath | None = None
    timeout: float | None = Field(None, gt=0)
    stall_timeout: float = Field(120, gt=0)
    ui: bool = False

    @classmethod
    def checked(cls, **options: Any) -> Self:
        """Return options.

        Args:
            **options: the fields.

        Raises:
            InvalidRequestError: an option is unknown or wrong.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            raise InvalidRequestError(to_api_error(error).message) from None

    @field_validator("api_keys")
    @classmethod
    def _refuse_empty_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not key.strip() for key in value):
            raise ValueError("a key must not be empty")
        return value
