"""Generates with llama.cpp's llama-server over HTTP, with a kind of speculation."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from functools import partial
from typing import Any

from protocol import Task, serve, speculation_figures

LOADING_TIMEOUT = 300  # seconds


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/completion", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def wait_until_loaded(server: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + LOADING_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health"):
                return
        except urllib.error.URLError:  # it does not listen yet, or returns 503 while it loads
            time.sleep(0.05)
    raise RuntimeError(f"llama-server did not start, code {server.poll()}")


def run(settings: dict[str, Any], arguments: list[str], command: dict[str, Any]) -> dict[str, Any]:
    """Run all prompts, one after the other, on a new server that does not remember earlier measurements."""
    port, threads = free_port(), str(settings["n_threads"])
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [
            *(settings["server"], "--model", settings["model"], "--host", "127.0.0.1", "--port", str(port)),
            *("--ctx-size", str(settings["n_ctx"]), "--parallel", "1", "--batch-size", "512", "--ubatch-size", "512"),
            *("--threads", threads, "--threads-batch", threads, "--flash-attn", "auto", *arguments),
        ]
    )

    def request(prompt: str, n_tokens: int) -> dict[str, Any]:
        fixed = {"temperature": 0.0, "ignore_eos": True, "cache_prompt": False}
        answer = post(address, {"prompt": prompt, "n_predict": n_tokens, **fixed})
        timings = answer["timings"]
        return {
            "text": answer["content"],
            "tokens": timings["predicted_n"],
            "seconds": timings["predicted_ms"] / 1000,
            "drafted": timings.get("draft_n", 0),
            "accepted": timings.get("draft_n_accepted", 0),
        }

    try:
        wait_until_loaded(server, address)
        return speculation_figures(request, settings["prompts"], settings["n_tokens"])
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    return {name: partial(run, settings, arguments) for name, arguments in settings["arguments"].items()}


serve(open_peer)
