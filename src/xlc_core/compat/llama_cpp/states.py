"""States of a model, as llama-cpp-python saves them; the engine's sessions hold them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from xlc_core.engine.engine import Engine
from xlc_core.errors import InvalidRequestError

__all__ = ["LlamaState", "read_state", "write_state"]


@dataclass
class LlamaState:
    """The conversation that was answered last, with the model's computed state.

    Attributes:
        n_tokens: tokens of the conversation; 0 before the first answer.
        llama_state: the content of a session file.
        llama_state_size: bytes of it.
        seed: state of the seeds that are drawn for requests without one.
    """

    n_tokens: int
    llama_state: bytes
    llama_state_size: int
    seed: int


def read_state(engine: Engine, seed: int) -> LlamaState:
    """Return the conversation that was answered last."""
    if not engine.metrics().generation_tokens:
        return LlamaState(0, b"", 0, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        info = engine.save_session(path)
        data = path.read_bytes()
    return LlamaState(info.n_tokens, data, len(data), seed)


def write_state(engine: Engine, state: LlamaState) -> None:
    """Load a conversation into the engine.

    Raises:
        InvalidRequestError: it was saved with another model or other settings.
    """
    if not isinstance(state, LlamaState):
        raise InvalidRequestError(f"load_state takes what save_state returned, not {type(state).__name__}")
    if state.n_tokens:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            path.write_bytes(state.llama_state)
            engine.load_session(path)
