"""Where thinking goes, and ending it from outside, also where a framework hides the streams."""

from __future__ import annotations

import threading
import weakref
from typing import Literal, Protocol

__all__ = ["ReasoningFormat", "ThinkingSwitch"]

ReasoningFormat = Literal["deepseek", "none"]
"""Where thinking goes, by llama.cpp's names: into ``reasoning`` and ReasoningDelta, or it stays in the text."""


class _Thinking(Protocol):
    def stop_thinking(self) -> None: ...


class ThinkingSwitch:
    """Has the model stop thinking and answer, in every request that was given this switch.

    For whoever has no stream at hand to call ``stop_thinking`` of: a chain's user, or somebody beside a blocking call.
    Once it is turned, requests that get it later do not think either, so take a new one for each question.

    Example:
        >>> switch = xlc.ThinkingSwitch()
        >>> threading.Timer(20, switch.stop).start()
        >>> engine.chat("Prove it.", thinking_switch=switch)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._requests: weakref.WeakSet[_Thinking] = weakref.WeakSet()

    @property
    def stopped(self) -> bool:
        """Whether stop was called."""
        return self._stopped

    def stop(self) -> None:
        """Have the model answer with its next token. Idempotent, from any thread; nothing where it does not think."""
        with self._lock:
            self._stopped = True
            requests = list(self._requests)
        for request in requests:
            request.stop_thinking()

    def control(self, request: _Thinking) -> None:
        """Take a request on, for those who make requests."""
        with self._lock:
            self._requests.add(request)
            stopped = self._stopped
        if stopped:
            request.stop_thinking()
