"""Ask a folder of files: all on this machine and in this process, with LangChain.

    python examples/rag_langchain.py --question "How large is the KV cache?"

Markdown, text, HTML and PDF files are cut at their headings, embedded, and stored in Qdrant's local mode.
For a question the 20 nearest passages are retrieved, a reranker keeps the best ones, and a chat model answers
from them, sentence by sentence.

A model with 135 million parameters neither cites reliably nor says only what it read. So by default a grammar
lets it answer only with the sentences that the reranker finds nearest to the question: it chooses among them,
and every citation is exact. Larger models answer in their own words with --free. Then the reranker scores each
sentence against the passages, and the best passage is cited if its score says that both are about the same thing;
otherwise the sentence is marked [?]. That finds the source of a sentence. It does not prove that the sentence is true.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_qdrant import QdrantVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams
from quoting import quotes
from rich.console import Console
from rich.progress import track
from sections import allow_any_output, read_sections, split_sentences

import xlc_core as xlc
from xlc_langchain import ChatXLlama, XLlamaEmbeddings, XLlamaReranker

N_CHARACTERS = 1000
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

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "You answer questions from the passages that you are given, in a few sentences."),
        ("user", "{passages}\n\nQuestion: {question}\nAnswer from the passages only."),
    ]
)


def read_passages(folder: Path) -> list[Document]:
    """Read every file and cut it into passages. Files that cannot be read are named and skipped."""
    sections, skipped = read_sections(folder)
    for reason in skipped:
        print(f"skipped {reason}", file=sys.stderr)
    ends = ["(?<=[.!?]) +", " ", ""]
    splitter = RecursiveCharacterTextSplitter(
        separators=ends, is_separator_regex=True, chunk_size=N_CHARACTERS, chunk_overlap=0
    )
    passages = []
    for section in sections:
        for text in splitter.split_text(section.text):
            sentences = list(split_sentences([text]))
            metadata = {"file": section.file, "heading": section.heading, "sentences": sentences}
            above = ", ".join(dict.fromkeys(filter(None, (section.title, section.heading))))
            passages.append(Document(f"{above}: {text}", metadata=metadata))
    return passages


def index(passages: list[Document], embeddings: XLlamaEmbeddings) -> QdrantVectorStore:
    """Embed the passages and store them in memory; use QdrantClient(path=…) to keep them."""
    client = QdrantClient(":memory:")
    size = len(embeddings.embed_query("size"))
    client.create_collection("passages", VectorParams(size=size, distance=Distance.COSINE))
    store = QdrantVectorStore(client, "passages", embeddings, validate_collection_config=False)
    batches = [passages[start : start + 16] for start in range(0, len(passages), 16)]
    for batch in track(batches, f"Indexing {len(passages)} passages", console=Console(stderr=True)):
        store.add_documents(batch)
    return store


def keep_best(found: list[Document], question: str, reranker: XLlamaReranker) -> list[Document]:
    """Return the passages, or sentences, that the reranker finds nearest to the question, the nearest first."""
    chosen = reranker.compress_documents(found, question)
    best = sorted(chosen, key=lambda document: -document.metadata["relevance_score"])
    least = best[0].metadata["relevance_score"] - MARGIN
    return [document for document in best if document.metadata["relevance_score"] >= least]


def allow_best_sentences(passages: list[Document], question: str, reranker: XLlamaReranker) -> xlc.Lark:
    """Allow an answer of sentences of the passages that begins with one of the best."""
    sentences = [passage.metadata["sentences"] for passage in passages]
    best = keep_best([Document(text) for texts in sentences for text in texts], question, reranker)
    return quotes(sentences, {sentence.page_content for sentence in best})


def cite(sentence: str, passages: list[Document], reranker: XLlamaReranker) -> int | None:
    """Return the number of the passage that a sentence was taken from, or that supports it best."""
    numbered = []
    for number, passage in enumerate(passages, start=1):
        if sentence in passage.metadata["sentences"]:
            return number
        numbered.append(Document(passage.page_content, metadata={"number": number}))
    scored = [passage.metadata for passage in reranker.compress_documents(numbered, sentence)]
    best = max(scored, key=lambda metadata: metadata["relevance_score"])
    return best["number"] if best["relevance_score"] >= SUPPORT else None


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
    llm = ChatXLlama(model=model, n_ctx=2048, temperature=0, max_tokens=256)
    reranker = XLlamaReranker(model=reranker_model, top_n=N_KEPT, truncate="end", order_weight=ORDER_WEIGHT)
    embeddings = XLlamaEmbeddings(model=embedder, truncate="end")
    with llm, reranker, embeddings:
        retriever = index(passages, embeddings).as_retriever(search_kwargs={"k": N_RETRIEVED})
        sources = (retriever | RunnableLambda(lambda found: keep_best(found, question, reranker))).invoke(question)
        console.print(f"\n{question}\n", style="bold", markup=False)
        if sources[0].metadata["relevance_score"] < NOTHING:
            console.print("No passage of these files seems to answer this. The nearest are")
        else:
            constraint = None if free else allow_best_sentences(sources, question, reranker)
            answerer = PROMPT | llm.bind(constraint=constraint) | StrOutputParser()
            text = "\n\n".join(passage.page_content for passage in sources)
            for sentence in split_sentences(answerer.stream({"passages": text, "question": question})):
                console.print(sentence, end=" ", markup=False)
                console.print(f"[{cite(sentence, sources, reranker) or '?'}]", end=" ", markup=False)
            console.print("\n\nSources")
        for number, source in enumerate(sources, start=1):
            place = ", ".join(filter(None, (source.metadata["file"], source.metadata["heading"])))
            score = source.metadata["relevance_score"]
            console.print(f"[{number}] {place} ({score:.1f})", markup=False)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
