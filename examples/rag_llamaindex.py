"""Ask a folder of files: all on this machine and in this process, with LlamaIndex.

    python examples/rag_llamaindex.py --question "How large is the KV cache?"

The twin of rag_langchain.py, on the same corpus. Markdown, text, HTML and PDF files are cut at their headings,
embedded, and stored in Qdrant's local mode. For a question the 20 nearest passages are retrieved, a reranker keeps
the best ones, and a chat model answers from them, sentence by sentence.

A model with 135 million parameters neither cites reliably nor says only what it read. So by default a grammar
lets it answer only with the sentences that the reranker finds nearest to the question: it chooses among them,
and every citation is exact. Larger models answer in their own words with --free. Then the reranker scores each
sentence against the passages, and the best passage is cited if its score says that both are about the same thing;
otherwise the sentence is marked [?]. That finds the source of a sentence. It does not prove that the sentence is true.
"""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from llama_index.core import PromptTemplate, Settings, StorageContext, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.response_synthesizers import CompactAndRefine
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams
from quoting import quotes
from rich.console import Console
from rich.progress import track
from sections import allow_any_output, read_sections, split_sentences

import xlc_core as xlc
from xlc_llamaindex import XLlama, XLlamaEmbedding, XLlamaRerank

N_WORDS = 150
"""Longest passage; longer sections are cut."""
N_RETRIEVED = 20
N_KEPT = 5
ORDER_WEIGHT = 1.0
"""The order in which passages were found counts as much as a small reranker's scores; 0: it does not count."""
MARGIN = 1.5
"""Passages and sentences whose reranker score is further below the best one's are left out."""
NOTHING = -3.0
"""Below this score of the best passage the files do not answer; for the questions of benchmarks/ it is -2.7 or more."""
SUPPORT = 0.0
"""Smallest reranker score at which a passage is cited: a logit, so 0 is a probability of one half."""

PROMPT = PromptTemplate("{context_str}\n\nQuestion: {query_str}\nAnswer from the passages only.")
SYSTEM_PROMPT = "You answer questions from the passages that you are given, in a few sentences."


def read_passages(folder: Path) -> list[TextNode]:
    """Read every file and cut it into passages. Files that cannot be read are named and skipped."""
    sections, skipped = read_sections(folder)
    for reason in skipped:
        print(f"skipped {reason}", file=sys.stderr)
    ends = re.compile(r"(?<=[.!?])(?= )")
    splitter = SentenceSplitter(
        chunk_size=N_WORDS, chunk_overlap=0, tokenizer=str.split, chunking_tokenizer_fn=ends.split
    )
    passages = []
    for section in sections:
        for text in splitter.split_text(section.text):
            sentences = list(split_sentences([text]))
            metadata = {"file": section.file, "heading": section.heading, "sentences": sentences}
            above = ", ".join(dict.fromkeys(filter(None, (section.title, section.heading))))
            unseen = list(metadata)  # hidden from all models, because the text contains it
            passages.append(
                TextNode(
                    text=f"{above}: {text}",
                    metadata=metadata,
                    excluded_embed_metadata_keys=unseen,
                    excluded_llm_metadata_keys=unseen,
                )
            )
    return passages


def index(passages: list[TextNode]) -> VectorStoreIndex:
    """Embed the passages and store them in memory; use QdrantClient(path=…) to keep them."""
    client = QdrantClient(":memory:")
    size = len(Settings.embed_model.get_query_embedding("size"))
    client.create_collection("passages", VectorParams(size=size, distance=Distance.COSINE))
    store = QdrantVectorStore("passages", client=client)
    whole = VectorStoreIndex([], storage_context=StorageContext.from_defaults(vector_store=store))
    batches = [passages[start : start + 16] for start in range(0, len(passages), 16)]
    for batch in track(batches, f"Indexing {len(passages)} passages", console=Console(stderr=True)):
        whole.insert_nodes(batch)
    return whole


def keep_best(found: list[NodeWithScore], question: str, rerank: XLlamaRerank) -> list[NodeWithScore]:
    """Return the passages, or sentences, that the reranker finds nearest to the question, the nearest first."""
    best = sorted(rerank.postprocess_nodes(found, query_str=question), key=NodeWithScore.get_score, reverse=True)
    return [node for node in best if node.get_score() >= best[0].get_score() - MARGIN]


def allow_best_sentences(passages: list[NodeWithScore], question: str, rerank: XLlamaRerank) -> xlc.Lark:
    """Allow an answer of sentences of the passages that begins with one of the best."""
    sentences = [passage.metadata["sentences"] for passage in passages]
    nodes = [NodeWithScore(node=TextNode(text=text)) for texts in sentences for text in texts]
    return quotes(sentences, {sentence.get_content() for sentence in keep_best(nodes, question, rerank)})


def cite(sentence: str, passages: list[NodeWithScore], rerank: XLlamaRerank) -> int | None:
    """Return the number of the passage that a sentence was taken from, or that supports it best."""
    for number, passage in enumerate(passages, start=1):
        if sentence in passage.metadata["sentences"]:
            return number
    best = max(rerank.postprocess_nodes(passages, query_str=sentence), key=NodeWithScore.get_score)
    if best.get_score() < SUPPORT:
        return None
    return [passage.node_id for passage in passages].index(best.node_id) + 1


def main(
    question: Annotated[str, typer.Option(help="What to ask.")] = "What happens when a request is cancelled?",
    folder: Annotated[Path, typer.Option(help="Folder of files.", exists=True, file_okay=False)] = Path(__file__).parent
    / "corpus",
    model: Annotated[str, typer.Option(help="Chat model: a path, a name or hf:owner/repo.")] = "smollm2-135m-instruct",
    embedder: Annotated[str, typer.Option(help="Embedding model.")] = "all-minilm-l6-v2",
    reranker_model: Annotated[str, typer.Option("--reranker", help="Reranking model.")] = "xllama-rerank-mini",
    free: Annotated[bool, typer.Option("--free", help="Let the model use its own words instead of quoting.")] = False,
) -> None:
    """Answer a question from a folder of files, with sources."""
    allow_any_output()
    passages = read_passages(folder)
    if not passages:
        raise typer.BadParameter(f"{folder} has no Markdown, text, HTML or PDF file that can be read")
    console = Console(highlight=False, soft_wrap=True)
    llm = XLlama(model=model, n_ctx=2048, temperature=0, max_tokens=256, system_prompt=SYSTEM_PROMPT)
    rerank = XLlamaRerank(model=reranker_model, top_n=N_KEPT, order_weight=ORDER_WEIGHT)
    embed_model = XLlamaEmbedding(model=embedder, truncate="end")
    with llm, rerank, embed_model:
        Settings.llm, Settings.embed_model, Settings.tokenizer = llm, embed_model, llm.tokenizer
        found = index(passages).as_retriever(similarity_top_k=N_RETRIEVED).retrieve(question)
        sources = keep_best(found, question, rerank)
        console.print(f"\n{question}\n", style="bold", markup=False)
        if sources[0].get_score() < NOTHING:
            console.print("No passage of these files seems to answer this. The nearest are")
        else:
            constraint = None if free else allow_best_sentences(sources, question, rerank)
            answering = llm.model_copy(update={"additional_kwargs": {"constraint": constraint}})
            synthesizer = CompactAndRefine(llm=answering, text_qa_template=PROMPT, streaming=True)
            for sentence in split_sentences(synthesizer.synthesize(question, nodes=sources).response_gen):
                console.print(sentence, end=" ", markup=False)
                console.print(f"[{cite(sentence, sources, rerank) or '?'}]", end=" ", markup=False)
            console.print("\n\nSources")
        for number, source in enumerate(sources, start=1):
            place = ", ".join(filter(None, (source.metadata["file"], source.metadata["heading"])))
            console.print(f"[{number}] {place} ({source.get_score():.1f})", markup=False)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
