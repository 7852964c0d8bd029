"""Measures the time of one chat with this project's Engine beside its computation, for several kinds of requests."""

from __future__ import annotations

import statistics
import time
from typing import Any, Literal

from protocol import Task, serve
from pydantic import BaseModel, Field

import xlc_core as xlc

QUESTION = "Name a colour."
WARM_UP_CALLS = 5


class Order(BaseModel):
    """Ten fields of the kinds that applications have."""

    number: int = Field(ge=1)
    customer: str = Field(min_length=1, max_length=80)
    email: str
    status: Literal["new", "paid", "sent", "returned"]
    total: float = Field(ge=0)
    currency: Literal["EUR", "USD", "GBP"]
    items: list[str] = Field(max_length=20)
    express: bool
    note: str | None = None
    discount: float = Field(0, ge=0, le=1)


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": f"look_up_{subject}",
            "description": f"Look up the {subject} that belongs to a customer, within a time and in an order.",
            "parameters": {
                "type": "object",
                "properties": {
                    "customer": {"type": "string", "description": "The customer's full name."},
                    "since": {"type": "string", "description": "The first day, as in 2026-01-31."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
                    "order": {"type": "string", "enum": ["newest", "oldest", "dearest"]},
                },
                "required": ["customer"],
            },
        },
    }
    for subject in (
        *("order", "invoice", "address", "payment", "refund", "parcel", "contract", "offer", "complaint", "review"),
        *("call", "letter", "visit", "account", "discount", "voucher", "claim", "deposit", "loan", "warranty"),
    )
]

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "constraint": {"constraint": Order},
    "tools": {"tools": TOOLS},
}


class Overhead:
    """Calls for one token, whose prompt is cached but for its end."""

    def __init__(self, engine: xlc.Engine, n_calls: int) -> None:
        self.engine = engine
        self.n_calls = n_calls

    def measure(self, case: str) -> dict[str, Any]:
        """Milliseconds of a call, less what llama.cpp says it spent on the prompt: the median of several."""
        options: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0, "close_constraint": False, **CASES[case]}
        totals, queueing = [], []
        for number in range(-WARM_UP_CALLS, self.n_calls):
            start = time.perf_counter()
            stream = self.engine.stream_chat(QUESTION, **options)
            queued = time.perf_counter()
            timings = stream.result().timings
            if number >= 0:
                queueing.append(queued - start)
                totals.append(time.perf_counter() - start - timings.prompt_seconds)
        return {"wall": statistics.median(totals) * 1000, "queueing": statistics.median(queueing) * 1000}


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    engine = xlc.Engine(settings["model"], n_ctx=8192, n_parallel=1, n_threads=settings["n_threads"], progress=False)
    overhead = Overhead(engine, settings["n_calls"])
    return {case: lambda _, case=case: overhead.measure(case) for case in CASES}  # type: ignore[misc]


serve(open_peer)
