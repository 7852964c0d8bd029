"""Compares our kernels with llama.cpp's own products and attention, in one build, in turns: what a user waits for.

The first token of an answer after a long prompt, embedding with an encoder and with decoders, and reranking with an
encoder and by a chat model that judges.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from corpora import Corpus, lexical_neighbours, mixed_texts, read_corpus
from measure import Contender, Task
from random_models import random_model
from settings import Settings, add_common_options, compiled_for, settings_of
from tables import cells, disturbance, ratios, rounds_note, spread, write_section

from retrieval import EMBEDDER, N_CTX, N_WORDS, QUERY, RERANKER
from xlc_core import _native
from xlc_core.hardware import cpu_backend
from xlc_core.models import catalog

KERNELS = ("none", "avx2", "avx512_vnni")
CHAT_MODEL = "smollm2-135m-instruct"
N_CONTEXT = 1500  # tokens of the prompt of the RAG demos, about
N_DOCUMENTS = 50


def tasks(corpus: Corpus, settings: Settings, n_texts: int) -> list[Task]:
    """Return what is measured."""
    threads = {"n_threads": settings.n_threads}
    demo = {**threads, "n_prompt": 1, "n_context": N_CONTEXT, "n_tokens": 1}
    common = {**threads, "results": os.devnull, "catalog": os.environ.get("XLLAMA_CATALOG", "")}
    common["engine_options"] = {"n_ctx": N_CTX}
    texts = {"texts": mixed_texts(corpus, n_texts, N_WORDS), "query": QUERY}
    queries = corpus.queries[:1]
    passages = lexical_neighbours(corpus, queries, N_DOCUMENTS)
    pairs = {"queries": [query.text for query in queries], "passages": passages}
    chats = str(catalog.resolve(CHAT_MODEL).path)
    judge = {**common, **pairs, "model": chats, "engine_options": {"n_ctx": 4096}}
    first, read = "first token after 1,500", ("xllama_prompts", "first-token", "first-token")
    found = [Task(f"{first}, SmolLM2-135M Q8_0", "ms", read[0], {**demo, "model": chats}, *read[1:])]
    for name, type_ in (("qwen3-0.6b", "Q8_0"), ("qwen3-0.6b", "Q4_K_M")):
        work = {**demo, "model": str(random_model(name, type_))}
        found.append(Task(f"{first}, {name} {type_}", "ms", read[0], work, *read[1:]))
    embedders = {EMBEDDER: EMBEDDER}
    for name in ("embeddinggemma-300m", "qwen3-embedding-0.6b"):
        embedders[f"{name} Q8_0"] = str(random_model(name, "Q8_0"))
    for name, model in embedders.items():
        work = {**common, **texts, "model": model}
        found.append(Task(f"embedding, {name}", "texts/s", "xllama_retrieval", work, "throughput", "throughput"))
    reranking = {**common, **pairs, "model": RERANKER}
    for title, work in ((f"reranking, {RERANKER}", reranking), ("reranking, SmolLM2-135M judges", judge)):
        found.append(Task(title, "pairs/s", "xllama_retrieval", work, "throughput", "throughput"))
    return found


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 5)
    parser.add_argument("--texts", type=int, default=32, help="texts to embed (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="documents and queries, .jsonl.gz (default: the examples' corpus)")
    parser.add_argument("--section", default="kernels", help="its name in the document (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.texts = 4
    return options, settings_of(options, arguments, "kernels.py")


def run(options: argparse.Namespace, settings: Settings) -> str:
    """Measure, and return the section of the document."""
    kernels = kernels_here()
    rows = [["", "", "llama.cpp's own", *(part for name in kernels[1:] for part in (name, "ratio"))]]
    everything: list[Contender] = []
    variants = {name: (Path(sys.executable), {"XLLAMA_KERNELS": name}) for name in kernels}
    for task in tasks(read_corpus(settings.data), settings, options.texts):
        measured = task.measure(variants, settings)
        everything += measured
        digits = 0 if task.unit == "ms" else 1
        rows.append([task.title, task.unit, *_figures(measured, digits)])
    return f"""## Our kernels, and llama.cpp's own: {compiled_for()}

One build, with `XLLAMA_KERNELS=none`, which leaves products and attention to llama.cpp, and with our kernels.
{settings.n_threads} threads; {options.texts} texts of {N_WORDS[0]} to {N_WORDS[1]} words, {N_DOCUMENTS} passages for a
query. All models except SmolLM2, all-MiniLM-L6-v2 and xllama-rerank-mini have random weights.
{settings.machine}

    {settings.command}

{rounds_note(settings.n_rounds)}

{cells(rows)}

{disturbance(everything)}
"""


def kernels_here() -> tuple[str, ...]:
    """Return the kernels that the processor has, as far as llama.cpp's CPU library uses its instructions too."""
    own, features = _native.best_kernels(), cpu_backend().features
    if own is not None and "AVX512_VNNI" not in features:
        own = "avx2"
    return KERNELS[: KERNELS.index(own or "none") + 1]


def _figures(measured: list[Contender], digits: int) -> list[str]:
    texts = []
    for row in measured:
        texts.append(f"skipped: {row.error}" if row.error else spread(row.figures("wall"), digits))
        if row is not measured[0]:
            texts.append(spread(ratios(row, measured[0]), 2))
    return texts


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = run(options, settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, options.section, section)


if __name__ == "__main__":
    main()
