"""Where thinking goes, and ending it from outside, also where a framework hides the streams."""

from __future__ import annotations

import threading
import weakref
from typing import Literal, Protocol

__all__ = ["ReasoningFormat", "ThinkingSwitch"]

ReasoningFormat = Literal["deepseek", "none"]
"""Place of the thinking, by llama.cpp's names: in ``reasoning`` and ReasoningDelta, or in the text."""


class _Thinking(Protocol):
    def stop_thinking(self) -> None: ...


class ThinkingSwitch:
    """Ends the model's thinking, so that it answers, in every request that has this switch.

    For callers without a stream whose ``stop_thinking`` they could call: users of a chain, or another thread beside a
    blocking call. After ``stop``, later requests with the same switch do not think either, so use a new one for each
    question.

    Examples:
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
        """Whether ``stop`` was called."""
        return self._stopped

    def stop(self) -> None:
        """End the thinking with the next token. Idempotent, from any thread. No effect if the model does not think."""
        with self._lock:
            self._stopped = True
            requests = list(self._requests)
        for request in requests:
            request.stop_thinking()

    def control(self, request: _Thinking) -> None:
        """Add a request; called by the code that makes requests.

        Args:
            request: is kept by a weak reference.
        """
        with self._lock:
            self._requests.add(request)
            stopped = self._stopped
        if stopped:
            request.stop_thinking()
