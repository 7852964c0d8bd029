"""Measures the time that LlamaIndex adds to the engine's: in one call, and for 2,000 nodes in an ingestion pipeline.

Each part uses one engine in this process, so that the only difference is the adapter and LlamaIndex itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from corpora import mixed_texts, read_corpus
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from measure import Contender, Measurement, run_rounds
from one_call import OVERHEAD_TARGET_MS, Way, added, milliseconds, table
from settings import Settings, add_common_options, settings_of
from tables import comparison, disturbance, write_section

import xlc_core as xlc
from xlc_llamaindex import XLlama, XLlamaEmbedding

MODEL = "smollm2-135m-instruct"
EMBEDDER = "all-minilm-l6-v2"
QUESTION = "Name a colour."
N_NODES = 2000
N_WORDS = (20, 100)  # fewest and most words of a node
INGESTION_TARGET = 0.9


def overhead(engine: xlc.Engine, n_calls: int) -> dict[str, list[float]]:
    """Return milliseconds of calls for one token with a cached prompt. The ways take turns after each call."""
    llm = XLlama(engine=engine, max_tokens=1, temperature=0)
    messages = [ChatMessage(content=QUESTION)]
    ways: dict[str, Way] = {
        "`Engine.chat`": lambda: engine.chat(QUESTION, max_tokens=1, temperature=0),
        "`XLlama.chat`": lambda: llm.chat(messages),
        "`Engine.achat`": lambda: engine.achat(QUESTION, max_tokens=1, temperature=0),
        "`XLlama.achat`": lambda: llm.achat(messages),
    }
    return milliseconds(ways, n_calls)


def ingestion(engine: xlc.Engine, texts: list[str]) -> list[Contender]:
    """Return texts per second: by the engine alone, and as nodes in LlamaIndex's pipeline, with cache and events."""
    embed_model = XLlamaEmbedding(engine=engine, truncate="end")

    def pipeline() -> IngestionPipeline:
        return IngestionPipeline(transformations=[embed_model])  # a new pipeline has an empty cache

    def nodes() -> list[TextNode]:
        return [TextNode(text=text, id_=str(number)) for number, text in enumerate(texts)]

    def timed(prepare: Callable[[], Callable[[], object]]) -> Callable[[], Measurement]:
        def measure() -> Measurement:
            run = prepare()
            start = time.perf_counter()
            run()
            return {"wall": len(texts) / (time.perf_counter() - start)}

        return measure

    def engine_embed() -> Callable[[], object]:
        return lambda: engine.embed(texts, truncate="end")

    def pipeline_run() -> Callable[[], object]:
        given = nodes()
        return lambda: pipeline().run(nodes=given)

    def pipeline_arun() -> Callable[[], object]:
        given = nodes()
        return lambda: asyncio.run(pipeline().arun(nodes=given))

    return [
        Contender("`Engine.embed`", timed(engine_embed)),
        Contender("`IngestionPipeline.run`", timed(pipeline_run), INGESTION_TARGET),
        Contender("`IngestionPipeline.arun`", timed(pipeline_arun), INGESTION_TARGET),
    ]


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 5)
    parser.add_argument("--calls", type=int, default=200, help="calls for one token (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="the same file as for retrieval.py")
    options = parser.parse_args(arguments)
    options.nodes = 100 if options.quick else N_NODES
    if options.quick:
        options.calls = 20
    return options, settings_of(options, arguments, "llamaindex.py")


def run(options: argparse.Namespace, settings: Settings) -> str:
    """Measure, and return the section of the document."""
    print("llamaindex, one call", file=sys.stderr)
    with xlc.Engine(MODEL, n_ctx_total=4096, n_parallel=4, n_threads=settings.n_threads, progress=False) as engine:
        times = overhead(engine, options.calls)
    print("llamaindex, ingestion", file=sys.stderr)
    texts = mixed_texts(read_corpus(settings.data), options.nodes, N_WORDS)
    with xlc.Engine(EMBEDDER, n_threads=settings.n_threads, progress=False) as engine:
        contenders = ingestion(engine, texts)
        run_rounds(contenders, settings.n_rounds, settings.others_limit, settings.retries)

    sync = added(times, "`XLlama.chat`", to="`Engine.chat`")
    asynchronous = added(times, "`XLlama.achat`", to="`Engine.achat`")
    return f"""## LlamaIndex

SmolLM2-135M-Instruct, Q8_0, and all-MiniLM-L6-v2, F16; {settings.n_threads} threads. {settings.machine}

    {settings.command}

{options.calls} calls for one token, with a cached prompt; the four take turns.

{table(times)}

LlamaIndex adds {sync:.2f} ms to `chat` and {asynchronous:.2f} ms to `achat` (expected: ≤ {OVERHEAD_TARGET_MS} ms).

Embedding {len(texts)} nodes, with the pipeline's cache and events. Medians over {settings.n_rounds} rounds
(least–greatest); ratios are taken round by round.

{comparison(contenders, "nodes/s", 1, target=True)}

{disturbance(contenders)}
"""


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = run(options, settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "llamaindex", section)


if __name__ == "__main__":
    main()
