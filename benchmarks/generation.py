"""Generation on SmolLM2: raw llama.cpp, Engine, ChatXLlama and xllamacpp, one request and eight at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Contender, Measurement, Peer, run_rounds, unavailable
from peers import UnavailableError, llama_cpp_programs
from settings import Settings
from tables import comparison, disturbance

from xlc_core.models import catalog

MODEL = "smollm2-135m-instruct"
N_PARALLEL = 8
N_CTX = 4096  # for all slots: enough for 8 requests, small enough for every processor's cache
_Rows = Callable[[Peer, Peer], list[Contender]]
_Measured = tuple[list[Contender], int]

TOPICS = ("rivers", "bridges", "bread", "clouds", "trains", "gardens", "clocks", "islands")


@dataclass(frozen=True)
class LlamaBench:
    """llama.cpp's programs. Each measurement is a separate process; loading is not counted."""

    folder: Path
    model: Path
    n_tokens: int
    n_threads: int

    def read(self, n_prompt: int) -> Measurement:
        """Return tokens per second of a prompt."""
        return self._bench("-p", str(n_prompt), "-n", "0")

    def generate(self, n_prompt: int) -> Measurement:
        """Return decode steps per second of one sequence after so many tokens, without sampling."""
        return self._bench("-p", "0", "-n", str(self.n_tokens), "-d", str(n_prompt))

    def _bench(self, *work: str) -> Measurement:
        output = self._run(
            "llama-bench", *work, *("-t", str(self.n_threads)),
            *("-r", "1", "-fa", "auto", "-ub", "512", "-o", "jsonl"),
        )  # fmt: skip
        return {"wall": output["samples_ts"][0], "timings": output["samples_ts"][0]}

    def generate_together(self, n_prompt: int) -> Measurement:
        """Return tokens per second of eight sequences in one batch, with their prompts but without sampling."""
        threads = str(self.n_threads)
        output = self._run(
            "llama-batched-bench", *("-c", str(N_CTX), "-b", "512", "-ub", "512", "-t", threads, "-tb", threads),
            *("-npp", str(n_prompt), "-ntg", str(self.n_tokens), "-npl", str(N_PARALLEL)),
            *("-fa", "auto", "--output-format", "jsonl"),
        )  # fmt: skip
        return {"wall": output["pl"] * output["tg"] / output["t"]}

    def _run(self, program: str, *arguments: str) -> Any:
        command = [str(self.folder / program), "-m", str(self.model), *arguments]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"{program}: {error}") from None
        rows = [line for line in result.stdout.splitlines() if line.startswith("{")]
        if result.returncode != 0 or not rows:
            raise UnavailableError(f"{program} ended with code {result.returncode}")
        return json.loads(rows[-1])


def _measure(settings: Settings, work: dict[str, Any], raw: Callable[[int], Contender], rows: _Rows) -> _Measured:
    """Open both peers, measure in turns, close them.

    Each engine is alone in its process, because OpenMP's threads spin less when a process has several engines.

    Args:
        settings: how to measure.
        work: the workers' settings.
        raw: returns the first row, for a prompt with this number of tokens.
        rows: returns the other rows, for our peer and theirs.
    """
    ours = Peer("", "xllama_generation", work, settings)
    if ours.worker is None:
        raise SystemExit(f"xllama itself does not run: {ours.error}")
    theirs = Peer("xllamacpp", "xllamacpp_generation", work, settings)
    try:
        n_prompt = int(ours.worker("prompt_tokens")["n_tokens"])
        contenders = [raw(n_prompt), *rows(ours, theirs)]
        run_rounds(contenders, settings.n_rounds, settings.others_limit, settings.retries)
    finally:
        ours.close()
        theirs.close()
    return contenders, n_prompt


def run(settings: Settings) -> str:
    """Measure, and return the section of the document."""
    model = catalog.resolve(MODEL).path
    work = {
        "model": str(model),
        "n_threads": settings.n_threads,
        "n_tokens": settings.n_tokens,
        "n_ctx": N_CTX,
        "n_parallel": 1,
        "prompts": [f"Write a long story about {topic}." for topic in TOPICS],
    }
    try:
        folder = llama_cpp_programs(settings.llama_bench, ("llama-bench", "llama-batched-bench"))
        bench = LlamaBench(folder, model, settings.n_tokens, settings.n_threads)
        no_bench = ""
    except UnavailableError as error:
        no_bench = str(error)

    def raw_single(n_prompt: int) -> Contender:
        name = "llama-bench"
        return unavailable(name, no_bench) if no_bench else Contender(name, lambda: bench.generate(n_prompt))

    def raw_together(n_prompt: int) -> Contender:
        name = "llama-batched-bench"
        if no_bench:
            return unavailable(name, no_bench)
        return Contender(name, lambda: bench.generate_together(n_prompt))

    print("generation, one request", file=sys.stderr)
    single, n_prompt = _measure(
        settings, work, raw_single,
        lambda ours, theirs: [
            ours.row("`Engine.complete`", "complete", 0.98),
            ours.row("`Engine.stream_chat`", "stream_chat", 0.97),
            ours.row("`ChatXLlama.stream`", "langchain", 0.95),
            theirs.row("", "chat"),
            theirs.row(", streamed", "stream_chat"),
        ],
    )  # fmt: skip
    print("generation, 8 at once", file=sys.stderr)
    together, _ = _measure(
        settings, {**work, "n_parallel": N_PARALLEL}, raw_together,
        lambda ours, theirs: [
            ours.row("`Engine.complete`, 8 threads", "complete_together"),
            ours.row("`Engine.stream_chat`, 8 threads", "stream_chat_together"),
            ours.row("`ChatXLlama.astream`, 8 tasks", "langchain_together"),
            theirs.row(", streamed, 8 threads", "stream_chat_together"),
        ],
    )  # fmt: skip
    return f"""## Generation

SmolLM2-135M-Instruct, Q8_0; {settings.n_tokens} tokens with `ignore_eos`, temperature 0, after a prompt of {n_prompt}
tokens that is not cached; {settings.n_threads} threads, F16 KV cache and flash attention `auto` for all.
{settings.machine}

    {settings.command}

Figures are medians over {settings.n_rounds} rounds (least–greatest); ratios are taken round by round.

### One request

Decode steps per second. The time is, for streams, from the first text to the end; otherwise, the call without the time
for the prompt. llama-bench starts after as many tokens, and does not sample.

{comparison(single, "tokens/s", 1, own_timings=True, target=True)}

{disturbance(single)}

### 8 at once

Tokens per second of all eight together, from the first request's start to the last one's end. This includes reading the
eight prompts.

{comparison(together, "tokens/s", 1)}

{disturbance(together)}
"""
