"""Measures the time that LangChain adds to the engine's: in one call, a batch of 16, and 200 calls at once.

Each part uses one engine in this process, so that the only difference is the adapter and LangChain itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
from measure import Contender, Measurement, run_rounds
from one_call import OVERHEAD_TARGET_MS, Way, added, milliseconds, table
from settings import Settings, add_common_options, settings_of
from tables import comparison, disturbance, write_section

import xlc_core as xlc
from xlc_langchain import ChatXLlama

MODEL = "smollm2-135m-instruct"
QUESTION = "Name a colour."
N_BATCH = 16
N_AT_ONCE = 200
N_SLOTS = 4


def overhead(engine: xlc.Engine, n_calls: int) -> dict[str, list[float]]:
    """Return milliseconds of calls for one token with a cached prompt. The ways take turns after each call."""
    llm = ChatXLlama(engine=engine, max_tokens=1, temperature=0)
    ways: dict[str, Way] = {
        "`Engine.chat`": lambda: engine.chat(QUESTION, max_tokens=1, temperature=0),
        "`ChatXLlama.invoke`": lambda: llm.invoke(QUESTION),
        "`Engine.achat`": lambda: engine.achat(QUESTION, max_tokens=1, temperature=0),
        "`ChatXLlama.ainvoke`": lambda: llm.ainvoke(QUESTION),
    }
    return milliseconds(ways, n_calls)


def batches(engine: xlc.Engine, settings: Settings) -> list[Contender]:
    """Return tokens per second of 16 requests at once: by the engine alone, and through LangChain."""
    options: dict[str, Any] = {"max_tokens": settings.n_tokens, "temperature": 0.0}
    extra: dict[str, Any] = {"ignore_eos": True, "cache_prompt": False}
    llm = ChatXLlama(engine=engine, **options, model_kwargs=extra)
    prompts = [f"Write a story about the number {n}." for n in range(N_BATCH)]
    n_tokens = settings.n_tokens * N_BATCH

    def timed(run: Callable[[], object]) -> Callable[[], Measurement]:
        def measure() -> Measurement:
            start = time.perf_counter()
            run()
            return {"wall": n_tokens / (time.perf_counter() - start)}

        return measure

    def in_threads() -> None:
        with ThreadPoolExecutor(N_BATCH) as pool:
            list(pool.map(lambda prompt: engine.chat(prompt, **options, **extra), prompts))

    return [
        Contender("`Engine.chat`, 16 threads", timed(in_threads)),
        Contender("`ChatXLlama.batch` of 16", timed(lambda: llm.batch(list(prompts))), 0.95),
        Contender("`ChatXLlama.abatch` of 16", timed(lambda: asyncio.run(_abatch(llm, prompts))), 0.95),
    ]


async def _abatch(llm: ChatXLlama, prompts: list[str]) -> None:
    await llm.abatch(list(prompts))


async def at_once(llm: ChatXLlama, n_calls: int) -> dict[str, float]:
    """Start calls together, and return the order in which they end and the number of threads meanwhile."""
    await llm.ainvoke(QUESTION)
    process = psutil.Process()
    before = (threading.active_count(), process.num_threads())
    most = before
    ended: list[int] = []

    async def call(number: int) -> None:
        nonlocal most
        await llm.ainvoke(f"Name the number {number}.")
        ended.append(number)
        most = (max(most[0], threading.active_count()), max(most[1], process.num_threads()))

    start = time.perf_counter()
    await asyncio.gather(*(call(number) for number in range(n_calls)))
    return {
        "seconds": time.perf_counter() - start,
        "finished": float(len(ended)),
        # Calls that are in the slots at the same time may overtake each other, but no others.
        "furthest": float(max(abs(place - number) for place, number in enumerate(ended))),
        "new_python_threads": float(most[0] - before[0]),
        "new_threads": float(most[1] - before[1]),
    }


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 7)
    parser.add_argument("--calls", type=int, default=200, help="calls for one token (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.calls = 20
    return options, settings_of(options, arguments, "langchain.py", n_tokens=16 if options.quick else 64)


def run(options: argparse.Namespace, settings: Settings) -> str:
    """Measure, and return the section of the document."""
    print("langchain, one call", file=sys.stderr)
    with xlc.Engine(
        MODEL, n_ctx_total=4096, n_parallel=N_SLOTS, n_threads=settings.n_threads, progress=False
    ) as engine:
        times = overhead(engine, options.calls)
        print("langchain, 200 at once", file=sys.stderr)
        llm = ChatXLlama(engine=engine, max_tokens=4, temperature=0)
        crowd = asyncio.run(at_once(llm, 40 if options.quick else N_AT_ONCE))
    print("langchain, batches", file=sys.stderr)
    with xlc.Engine(MODEL, n_ctx=512, n_parallel=N_BATCH, n_threads=settings.n_threads, progress=False) as engine:
        contenders = batches(engine, settings)
        run_rounds(contenders, settings.n_rounds, settings.others_limit, settings.retries)

    sync = added(times, "`ChatXLlama.invoke`", to="`Engine.chat`")
    asynchronous = added(times, "`ChatXLlama.ainvoke`", to="`Engine.achat`")
    return f"""## LangChain

SmolLM2-135M-Instruct, Q8_0, {settings.n_threads} threads. {settings.machine}

    {settings.command}

### One call

{options.calls} calls for one token, with a cached prompt; the four take turns.

{table(times)}

LangChain adds {sync:.2f} ms to `chat` and {asynchronous:.2f} ms to `achat` (expected: ≤ {OVERHEAD_TARGET_MS} ms).

### A batch of 16

Tokens per second of 16 requests for {settings.n_tokens} tokens in 16 slots, with their prompts. Medians over
{settings.n_rounds} rounds (least–greatest); ratios are taken round by round.

{comparison(contenders, "tokens/s", 1, target=True)}

{disturbance(contenders)}

### Many at once

{crowd["finished"]:.0f} calls of `ainvoke` for 4 tokens at once on {N_SLOTS} slots took {crowd["seconds"]:.1f} s. All
finished, each at most {crowd["furthest"]:.0f} places away from its place in the queue ({N_SLOTS} are answered at a
time). Meanwhile the process had {crowd["new_threads"]:.0f} more threads than before;
{crowd["new_python_threads"]:.0f} of them were Python's.
"""


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = run(options, settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "langchain", section)


if __name__ == "__main__":
    main()
