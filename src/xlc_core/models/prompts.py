"""The texts that some embedding models need before a query or a document."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xlc_core import _native
from xlc_core.models import catalog
from xlc_core.texts import native_path

__all__ = ["RetrievalPrompts", "file_prompts", "retrieval_prompt", "with_instruction"]


@dataclass(frozen=True)
class RetrievalPrompts:
    """The texts that a model needs before its inputs.

    Attributes:
        query: text before a query.
        document: text before a document.
    """

    query: str = ""
    document: str = ""


_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
_SENTENCE = RetrievalPrompts("Represent this sentence for searching relevant passages: ")

# From the models' cards and sentence-transformers' configurations. The first pattern that is found in a name counts.
# The name is in lower case, and all characters except letters, digits and points are hyphens.
_FAMILIES = [
    (re.compile(pattern), prompts)
    for pattern, prompts in (
        (r"nomic-embed-code", RetrievalPrompts("Represent this query for searching relevant code: ")),
        (r"nomic-embed-text|modernbert-embed", RetrievalPrompts("search_query: ", "search_document: ")),
        (r"qwen3-embedding", RetrievalPrompts(f"Instruct: {_WEB_SEARCH}\nQuery:")),
        (r"embedding-?gemma", RetrievalPrompts("task: search result | query: ", "title: none | text: ")),
        (r"(^|-)e5-(.*-)?(instruct|mistral)", RetrievalPrompts(f"Instruct: {_WEB_SEARCH}\nQuery: ")),
        (r"(^|-)e5-(small|base|large)", RetrievalPrompts("query: ", "passage: ")),
        (r"(^|-)bge-(small|base|large)-en", _SENTENCE),
        (r"(^|-)bge-(small|base|large)-zh", RetrievalPrompts("为这个句子生成表示以用于检索相关文章：")),
        (r"mxbai-embed|uae-large|mdbr-leaf-ir", _SENTENCE),
        (r"arctic-embed-.*v2", RetrievalPrompts("query: ")),
        (r"arctic-embed", _SENTENCE),
        (r"gte-qwen", RetrievalPrompts(f"Instruct: {_WEB_SEARCH}\nQuery: ")),
        (r"stella-en-(400m|1.5b)", RetrievalPrompts(f"Instruct: {_WEB_SEARCH}.\nQuery: ")),
        (
            r"jina-embeddings-v3",
            RetrievalPrompts(
                "Represent the query for retrieving evidence documents: ", "Represent the document for retrieval: "
            ),
        ),
        (r"jina-embeddings-v4", RetrievalPrompts("Query: ", "Passage: ")),
    )
]

_INSTRUCTION = re.compile(r"(Instruct: ).*(\n ?Query: ?)", re.DOTALL)


def retrieval_prompt(model: str | Path | None, kind: Literal["query", "document"]) -> str:
    """Return the text that a model needs before a query or document, if that is known before loading. Uses no network.

    Args:
        model: the model's name, as for Engine.
        kind: the kind of input.

    Raises:
        ModelLoadError: the file is not a GGUF file.
        InvalidRequestError: a catalog file of the user's cannot be read.
    """
    entry = catalog.entries().get(model) if isinstance(model, str) else None
    path = catalog.find_local(model)
    if path is None:
        prompts = _prefer_entry(entry, _prompts_from_names([str(model)]))
    else:
        state = path.stat()
        prompts = _prefer_entry(entry, _prompts_from_file(path, state.st_size, state.st_mtime_ns, str(model)))
    return prompts.query if kind == "query" else prompts.document


def file_prompts(file: _native.ModelFile, name: str, entry: catalog.CatalogEntry | None) -> RetrievalPrompts:
    """Return a model's prompts from its catalog entry, else from its file, else by its name.

    Args:
        file: metadata of the model file.
        name: the name by which the user named the model.
        entry: the catalog's entry, if any.
    """
    names = [*file.names, name, Path(file.path).stem]
    prompts = RetrievalPrompts(**file.prompts) if file.prompts else _prompts_from_names(names)
    return _prefer_entry(entry, prompts)


def with_instruction(prompt: str, instruction: str) -> str | None:
    """Return a query's prompt with an instruction; None if the prompt does not have a place for one."""
    if _INSTRUCTION.fullmatch(prompt) is None:
        return None
    return _INSTRUCTION.sub(lambda found: found[1] + instruction + found[2], prompt)


def _prefer_entry(entry: catalog.CatalogEntry | None, otherwise: RetrievalPrompts) -> RetrievalPrompts:
    if entry is None:
        return otherwise
    return RetrievalPrompts(
        otherwise.query if entry.query_prompt is None else entry.query_prompt,
        otherwise.document if entry.document_prompt is None else entry.document_prompt,
    )


def _prompts_from_names(names: Iterable[str]) -> RetrievalPrompts:
    for name in names:
        plain = re.sub(r"[^a-z0-9.]+", "-", name.lower())
        for pattern, prompts in _FAMILIES:
            if pattern.search(plain):
                return prompts
    return RetrievalPrompts()


@functools.lru_cache(maxsize=64)
def _prompts_from_file(path: Path, size: int, mtime_ns: int, name: str) -> RetrievalPrompts:
    """Read a file's header. It is cached until the file's size or time changes."""
    return file_prompts(_native.read_model_file(native_path(path, "the model")), name, None)
