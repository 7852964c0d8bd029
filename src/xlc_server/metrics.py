"""``/metrics``: counters of the open engines, in the text format of Prometheus.

The engines count, so that a scrape only writes their numbers down. The package prometheus-client would need a collector
that reads them, and its registry is the whole process's: two applications in one process would have to share it.
"""

from __future__ import annotations

from collections.abc import Callable

from xlc_core import EngineMetrics
from xlc_server.service import Service

__all__ = ["render_metrics"]

_ROWS: tuple[tuple[str, str, str, Callable[[EngineMetrics], float]], ...] = (
    ("requests_running", "gauge", "Requests that hold a slot", lambda m: m.requests_running),
    ("requests_waiting", "gauge", "Requests that wait for a slot", lambda m: m.requests_waiting),
    ("requests_paused", "gauge", "Running requests that are paused", lambda m: m.requests_paused),
    ("pauses_total", "counter", "Pauses of requests", lambda m: m.pauses),
    ("prompt_tokens_total", "counter", "Prompt tokens processed, without cached ones", lambda m: m.prompt_tokens),
    ("prompt_seconds_total", "counter", "Time spent on prompts", lambda m: m.prompt_seconds),
    ("cached_tokens_total", "counter", "Prompt tokens taken from the cache", lambda m: m.cached_tokens),
    ("generation_tokens_total", "counter", "Tokens generated", lambda m: m.generation_tokens),
    ("generation_seconds_total", "counter", "Time spent generating, over slots", lambda m: m.generation_seconds),
    ("draft_tokens_total", "counter", "Tokens drafted", lambda m: m.draft_tokens),
    ("draft_accepted_total", "counter", "Drafted tokens that were right", lambda m: m.draft_accepted),
)


def render_metrics(service: Service) -> str:
    """Return the metrics of the models that are open and can generate, and the number of requests."""
    found = {}
    for name in service.pool.names():
        engine = service.pool.opened(name)
        if engine is not None and engine.info.can_generate and not engine.closed:
            found[name] = engine.metrics()
    lines = [
        "# HELP xllama_http_requests Requests that are answered or wait",
        "# TYPE xllama_http_requests gauge",
        f"xllama_http_requests {service.n_requests}",
    ]
    for name, kind, text, read in _ROWS:
        lines += [f"# HELP xllama_{name} {text}", f"# TYPE xllama_{name} {kind}"]
        lines += [f'xllama_{name}{{model="{_escaped(model)}"}} {read(metrics)}' for model, metrics in found.items()]
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
