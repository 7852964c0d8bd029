"""Compare answers through HTTP, and through OpenAI's client without a port, with the engine's own; and other servers.

Engine, server and client without a port share one process and one engine. HTTP's client has a process of its own.
"""

from __future__ import annotations

import argparse
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from measure import Contender, Peer, Worker, run_rounds, unavailable
from peers import UnavailableError
from settings import Settings, add_common_options, settings_of
from tables import comparison, disturbance, rounds_note, write_section

from xlc_core.models import catalog

TOPICS = ("a storm", "a bakery", "the moon", "two brothers", "a lost key", "a river", "an old car", "a school")
N_TEXTS = 64


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 5, peers=True)
    options = parser.parse_args(arguments)
    return options, settings_of(options, arguments, "server.py", n_tokens=16 if options.quick else 96)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A server in a process, and a client of it in another."""

    def __init__(self, server: Peer, work: dict[str, Any], stack: ExitStack) -> None:
        self.server = server
        self._error = server.error
        stack.enter_context(closing(server))
        if server.worker is not None:
            try:
                port = server.worker("port")["port"]
                self._client = stack.enter_context(
                    closing(Worker(Path(sys.executable), "http_client", {**work, "port": port}))
                )
            except UnavailableError as error:
                self._error = str(error)

    def own(self, name: str, task: str, target: float | None = None) -> Contender:
        """Return a row for what the server's process measures itself."""
        return self.server.row(name, task, target)

    def row(self, name: str, task: str, target: float | None = None) -> Contender:
        """Return a row for what its client measures."""
        if self._error:
            return unavailable(name, self._error, target)
        return Contender(name, lambda: self._client(task), target)

    def memory(self) -> str:
        """Return a sentence about the most memory that its process has had."""
        if self._error or self.server.worker is None:
            return ""
        return f"{self.server.name or 'xllama'} {self.server.worker('memory')['peak_bytes'] / 2**20:.0f} MiB"


def run(settings: Settings) -> str:
    """Measure, and return the section of the document."""
    work = {
        "model": str(catalog.resolve("smollm2-135m-instruct").path),
        "embedder": str(catalog.resolve("all-minilm-l6-v2").path),
        "n_threads": settings.n_threads,
        "n_tokens": settings.n_tokens,
        "n_first": 30,
        "prompts": [f"Write a long story about {topic}." for topic in TOPICS],
        "texts": [f"{n}. {topic} and its colours, in a few words" for n in range(N_TEXTS // 8) for topic in TOPICS],
    }
    with ExitStack() as stack:
        ours = Server(Peer("", "server_xllama", work, settings), work, stack)
        theirs = Server(Peer("xllamacpp", "server_xllamacpp", {**work, "port": free_port()}, settings), work, stack)
        other = f"{theirs.server.name}, HTTP"

        def measured(title: str, rows: list[Contender]) -> list[Contender]:
            print(title, file=sys.stderr)
            run_rounds(rows, settings.n_rounds, settings.others_limit, settings.retries)
            return rows

        one = measured("one stream", [
            ours.own("`Engine.stream_chat`", "engine-one"),
            ours.own("`openai_client`, without a port", "portless-one", 0.98),
            ours.row("HTTP", "one", 0.97),
            theirs.row(other, "one"),
        ])  # fmt: skip
        eight = measured("8 streams", [
            ours.own("`Engine.stream_chat`, 8 threads", "engine-together"),
            ours.own("`openai_client`, without a port, 8 threads", "portless-together", 0.98),
            ours.row("HTTP", "together", 0.97),
            theirs.row(other, "together"),
        ])  # fmt: skip
        embedding = measured("embedding", [
            ours.own("`Engine.embed`, one call", "engine-embed"),
            ours.own(f"`Engine.embed`, {N_TEXTS} calls at once", "engine-embed-apart"),
            ours.row(f"HTTP, {N_TEXTS} requests at once", "embed", 0.9),
        ])  # fmt: skip
        first = measured("first event", [
            ours.own("`Engine.stream_chat`", "engine-first"),
            ours.row("HTTP", "first"),
            theirs.row(other, "first"),
        ])  # fmt: skip
        memory = ", ".join(filter(None, (ours.memory(), theirs.memory())))
    return f"""## The server

SmolLM2-135M-Instruct, Q8_0: {settings.n_tokens} tokens with `ignore_eos` after a prompt that is not cached, from the
first request to the end of the last answer; all-MiniLM-L6-v2: {N_TEXTS} short texts. {settings.n_threads} threads.
{settings.machine}

    {settings.command}

{rounds_note(settings.n_rounds)}
The most memory of each server's process: {memory};
xllama's has the embedder too.

### One stream

{comparison(one, "tokens/s", 1, target=True)}

### 8 streams

{comparison(eight, "tokens/s", 1, target=True)}

### Embedding

{comparison(embedding, "texts/s", 1, target=True)}

### The first event

Milliseconds to the first event of a stream whose prompt is cached, medians of {work["n_first"]} requests. Expected: at
most 3 ms more than the engine's.

{comparison(first, "ms", 2)}

{disturbance([*one, *eight, *embedding, *first])}
"""


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = run(settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "server", section)


if __name__ == "__main__":
    main()
