"""Compares embedding and reranking with PyTorch, onnxruntime and other bindings of llama.cpp: speed, quality, memory.

benchmarks/README.md explains the measurements and how to read them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agreement import Rows, cosines, rank_agreement, read_rows
from corpora import Corpus, lexical_neighbours, mixed_texts, read_corpus
from measure import Contender, Peer, run_rounds, unavailable
from peers import CACHE, UnavailableError, checkpoints, interpreter, is_installed
from settings import Settings, add_common_options, settings_of
from tables import Column, comparison, disturbance, ratio_table, rounds_note, write_section

import xlc_core as xlc
from xlc_core.models import catalog
from xlc_core.models.quantize import quantize_model

EMBEDDER, RERANKER = "all-minilm-l6-v2", "xllama-rerank-mini"
N_CTX = 512  # tokens that both models can read
N_WORDS = (20, 300)  # fewest and most words of a text to embed
LATENCY_ROUNDS = 5  # at least this many, because they are short
QUERY = "which package shows the free space on my disks?"

TORCH, ONNX, OPENVINO = "sentence-transformers", "onnxruntime", "openvino"
XLLAMACPP, LLAMA_CPP_PYTHON = "xllamacpp", "llama-cpp-python"


@dataclass
class Subject:
    """One row of the tables: a peer, and its results after all rounds.

    Attributes:
        peer: its worker.
        name: added to the peer's name.
        results: file to which the worker writes its results.
        rows: the results.
        peak_bytes: the most memory that it used.
    """

    peer: Peer
    name: str
    results: Path
    rows: Rows | None = None
    peak_bytes: int = 0
    contenders: list[Contender] = field(default_factory=list)

    def contender(self, task: str, target: float | None = None) -> Contender:
        """Return a row of a table."""
        made = self.peer.row(self.name, task, target, warm_up="warm-up" if task == "throughput" else "")
        self.contenders.append(made)
        return made

    def collect(self) -> None:
        """Read the results of the last measurement, and its memory."""
        if self.peer.worker is None or any(contender.error for contender in self.contenders):
            return
        saved = self.peer.worker("save")
        self.rows = read_rows(self.results, saved["rows"])
        self.peak_bytes = saved["peak_bytes"]


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 3, peers=True)
    parser.add_argument("--only", choices=("embedding", "reranking"), help="measure only this")
    parser.add_argument("--data", type=Path, help="documents and queries, .jsonl.gz (default: the examples' corpus)")
    parser.add_argument("--texts", type=int, default=2000, help="texts to embed (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=50, help="queries to rerank for (default: %(default)s)")
    parser.add_argument("--passages", type=int, default=50, help="passages for each (default: %(default)s)")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="TYPE",
        help="measure Engine also with weights of this type, such as BF16; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--engine-option", action="append", default=[], type=_name_and_json, metavar="NAME=JSON",
        help="open Engine with this option, such as n_ubatch=256",
    )  # fmt: skip
    parser.add_argument("--llama-cpp-python", action="store_true", help="build it from its sdist (10 minutes)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.texts, options.queries, options.passages = 24, 3, 8
    return options, settings_of(options, arguments, "retrieval.py")


def _name_and_json(pair: str) -> tuple[str, Any]:
    name, _, text = pair.partition("=")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


class Bench:
    """Opens the peers and measures them, for both sections."""

    def __init__(self, options: argparse.Namespace, settings: Settings, folder: Path, stack: ExitStack) -> None:
        self._options, self._settings, self._folder, self._stack = options, settings, folder, stack
        self._catalog = folder / "catalog.toml"
        self._catalog.touch()
        self.subjects: list[Subject] = []

    def open(self, peer: str, script: str, name: str, work: dict[str, Any]) -> Subject:
        """Start a worker."""
        results = self._folder / f"{len(self.subjects)}.f32"
        common = {"n_threads": self._settings.n_threads, "n_ctx": N_CTX, "results": str(results)}
        opened = Peer(peer, script, {**common, **work}, self._settings)
        self._stack.callback(opened.close)
        self.subjects.append(Subject(opened, name, results))
        return self.subjects[-1]

    def open_ours(self, what: str, model: str, work: dict[str, Any]) -> list[Subject]:
        """Start Engine with the original model, with llama.cpp's graph, and with other types of weights."""
        resolved = catalog.resolve(model)
        shipped = resolved.path.stem.rpartition("-")[2].upper()
        variants: list[tuple[str, str, dict[str, Any]]] = [
            (shipped, model, {}),
            (f"{shipped}, llama.cpp's graph", model, {"encoder": "llama.cpp"}),
            *((weights, self._requantised(resolved, weights), {}) for weights in self._options.weights),
        ]
        opened = []
        for label, name, engine_options in variants:
            options = {**dict(self._options.engine_option), **engine_options}
            given = {"model": name, "engine_options": options, "catalog": str(self._catalog)}
            opened.append(self.open("", "xllama_retrieval", f"`Engine.{what}`, {label}", {**work, **given}))
        return opened

    def _requantised(self, model: catalog.ResolvedModel, weights: str) -> str:
        """Write a model with other weights, and return a catalog name with the original's properties."""
        CACHE.mkdir(exist_ok=True)
        name = f"{model.name}-{weights}"
        path = quantize_model(model.path, CACHE / f"{name}.gguf", weights, overwrite=True)
        entry = {"description": name, "license": "", "kind": "embedding", "source": f"file:{path.as_posix()}"}
        lines = [f"[{json.dumps(name)}]", *(f"{field} = {json.dumps(value)}" for field, value in entry.items())]
        if model.entry is not None and model.entry.sentence_types is not None:
            lines.append(f"sentence_types = {json.dumps(model.entry.sentence_types)}")
        with self._catalog.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
        return name

    def checkpoints(self) -> str:
        """Return the folder with the models for PyTorch and onnxruntime; "" if the export failed."""
        try:
            python = interpreter(TORCH, self._settings.ready_peers)
            return str(checkpoints(python, catalog.resolve(RERANKER).path))
        except UnavailableError as error:
            print(f"  {error}", file=sys.stderr)
            return ""

    def measure(self, contenders: list[Contender], n_rounds: int) -> None:
        """Run the rounds."""
        run_rounds(contenders, n_rounds, self._settings.others_limit, self._settings.retries)

    def columns(self, quality: dict[str, Callable[[Rows, Rows], str]]) -> list[Column]:
        """Return columns for quality and memory, after collect(). The first subject is the reference."""
        by_name = {subject.peer.name + subject.name: subject for subject in self.subjects}
        reference = self.subjects[0]

        def compared(compare: Callable[[Rows, Rows], str]) -> Callable[[Contender], str]:
            def cell(contender: Contender) -> str:
                rows = by_name[contender.name].rows if contender.name in by_name else None
                return "" if rows is None or reference.rows is None else compare(rows, reference.rows)

            return cell

        def memory(contender: Contender) -> str:
            peak = by_name[contender.name].peak_bytes if contender.name in by_name else 0
            if not peak:
                return ""
            share = f" ({peak / reference.peak_bytes:.2f})" if reference.peak_bytes else ""
            return f"{peak / 1e6:.0f}{share}"

        columns = [(heading, compared(compare)) for heading, compare in quality.items()]
        return [*columns, ("peak memory, MB", memory)]


def llama_cpp_python(bench: Bench, options: argparse.Namespace, settings: Settings, work: dict[str, Any]) -> Contender:
    """Return the row of llama-cpp-python. It must be built, so it is built only on request."""
    if not options.llama_cpp_python and not is_installed(LLAMA_CPP_PYTHON, settings.ready_peers):
        return unavailable(LLAMA_CPP_PYTHON, "not installed; --llama-cpp-python builds it")
    return bench.open(LLAMA_CPP_PYTHON, "llama_cpp_python_embedding", ", F16", work).contender("throughput")


def embedding(options: argparse.Namespace, settings: Settings, corpus: Corpus, bench: Bench) -> str:
    """Measure embedding, and return its section."""
    model = str(catalog.resolve(EMBEDDER).path)
    with xlc.Engine(EMBEDDER, progress=False, warmup=False) as tokenizer:
        # Longer texts would be truncated by one peer, refused by the next and read in full by the third.
        texts = mixed_texts(corpus, options.texts, N_WORDS, lambda text: len(tokenizer.tokenize(text)) <= N_CTX - 2)
        n_tokens = sum(len(tokenizer.tokenize(text)) + 2 for text in texts) / len(texts)
    n_words = sum(len(text.split()) for text in texts) / len(texts)
    work = {"texts": texts, "query": QUERY}
    float32 = bench.open(TORCH, "sentence_transformers_retrieval", ", float32", {**work, "dtype": "float32"})
    bfloat16 = bench.open(TORCH, "sentence_transformers_retrieval", ", bfloat16", {**work, "dtype": "bfloat16"})
    exported = {**work, "checkpoints": bench.checkpoints()}
    onnx = bench.open(ONNX, "onnxruntime_retrieval", ", float32, the engine of fastembed", exported)
    openvino = bench.open(OPENVINO, "openvino_retrieval", ", float32", exported)
    ours = bench.open_ours("embed", EMBEDDER, work)
    wheel = bench.open(XLLAMACPP, "xllamacpp_retrieval", ", F16", {**work, "model": model})
    other = llama_cpp_python(bench, options, settings, {**work, "model": model})

    references = [subject.contender("throughput") for subject in (float32, bfloat16, onnx, openvino)]
    engines = [subject.contender("throughput") for subject in ours]
    throughput = [*references, *engines, wheel.contender("throughput"), other]
    latency = [
        *(subject.contender("latency") for subject in (float32, bfloat16, onnx, openvino)),
        *(subject.contender("latency", 0.5) for subject in ours), wheel.contender("latency"),
    ]  # fmt: skip
    print("embedding, texts", file=sys.stderr)
    bench.measure(throughput, settings.n_rounds)
    for subject in bench.subjects:
        subject.collect()
    n_latency_rounds = 1 if options.quick else max(settings.n_rounds, LATENCY_ROUNDS)
    print("embedding, queries", file=sys.stderr)
    bench.measure(latency, n_latency_rounds)
    columns = bench.columns(
        {
            "cosine, mean": lambda rows, reference: f"{cosines(rows, reference).mean():.6f}",
            "cosine, least": lambda rows, reference: f"{cosines(rows, reference).min():.6f}",
        }
    )
    return f"""## Embedding

all-MiniLM-L6-v2, {settings.n_threads} threads; {len(texts)} texts of {N_WORDS[0]} to {N_WORDS[1]} words in one call
({n_words:.0f} words and {n_tokens:.0f} tokens on average, cut out of {corpus.name}); then one short query at a time.
{settings.machine}

    {settings.command}

{rounds_note(settings.n_rounds)} Cosines compare with the
vectors of {references[0].name}. Memory is the most that the process used for the texts, with its libraries; in
brackets its share of the first row's.

{comparison(throughput, "texts/s", 1, columns=columns)}

{ratio_table(engines, [(references[0], 2.0), (references[1], 1.0), (throughput[-2], 2.5)])}

{disturbance(throughput)}

{rounds_note(n_latency_rounds)}

{comparison(latency, "one short query, ms", 2, target=True, less_is_better=True)}

{disturbance(latency)}
"""


def reranking(options: argparse.Namespace, settings: Settings, corpus: Corpus, bench: Bench) -> str:
    """Measure reranking, and return its section."""
    queries = corpus.queries[: options.queries]
    passages = lexical_neighbours(corpus, queries, options.passages)
    work: dict[str, Any] = {"queries": [query.text for query in queries], "passages": passages}
    given = {**work, "checkpoints": bench.checkpoints()}
    torch_script = "sentence_transformers_retrieval"
    float32 = bench.open(TORCH, torch_script, " CrossEncoder, float32", {**given, "dtype": "float32"})
    bfloat16 = bench.open(TORCH, torch_script, " CrossEncoder, bfloat16", {**given, "dtype": "bfloat16"})
    onnx = bench.open(ONNX, "onnxruntime_retrieval", ", float32", given)
    openvino = bench.open(OPENVINO, "openvino_retrieval", ", float32", given)
    ours = bench.open_ours("rerank", RERANKER, work)
    model = str(catalog.resolve(RERANKER).path)
    wheel = bench.open(XLLAMACPP, "xllamacpp_retrieval", ", Q8_0", {**work, "model": model})
    references = [subject.contender("throughput") for subject in (float32, bfloat16, onnx, openvino)]
    engines = [subject.contender("throughput") for subject in ours]
    contenders = [
        *(*references, *engines, wheel.contender("throughput")),
        unavailable(LLAMA_CPP_PYTHON, "it cannot rerank"),
    ]
    print("reranking", file=sys.stderr)
    bench.measure(contenders, settings.n_rounds)
    for subject in bench.subjects:
        subject.collect()
    columns = bench.columns(
        {
            "largest difference": lambda rows, reference: f"{rank_agreement(rows, reference).largest:.4f}",
            "Kendall's τ": lambda rows, reference: f"{rank_agreement(rows, reference).tau:.4f}",
            "same first": lambda rows, reference: f"{rank_agreement(rows, reference).same_first} of {len(rows)}",
        }
    )
    return f"""## Reranking

xllama-rerank-mini, a cross-encoder of the size of MiniLM-L6, {settings.n_threads} threads; {len(queries)} queries
from {corpus.name}, each with the {options.passages} passages that share the rarest words with it, one query a call.
{settings.machine}

    {settings.command}

{rounds_note(settings.n_rounds)} The model exists as Q8_0
only. PyTorch and onnxruntime use its dequantised weights, so differences from the first row's scores come only from
computing in other types. Kendall's τ is the mean over the queries: 1 if all passages are in the same order.

{comparison(contenders, "pairs/s", 1, columns=columns)}

{ratio_table(engines, [(references[0], 2.0), (references[1], 1.0), (contenders[-2], 2.5)])}

{disturbance(contenders)}
"""


SECTIONS = {"embedding": embedding, "reranking": reranking}


def main() -> None:
    options, settings = parse(sys.argv[1:])
    corpus = read_corpus(settings.data)
    for name, run in SECTIONS.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="xllama-bench-") as folder, ExitStack() as stack:
            section = run(options, settings, corpus, Bench(options, settings, Path(folder), stack))
        print(section, flush=True)
        if options.write is not None:
            write_section(options.write, name, section)


if __name__ == "__main__":
    main()
