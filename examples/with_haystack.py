"""Questions to documents in a pipeline of Haystack: embed, find, rank, answer, all in this process.

pip install 'xllama[haystack]'
python examples/with_haystack.py
"""

from haystack import Document, Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.retrievers import InMemoryEmbeddingRetriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore

from xlc_haystack import XllamaChatGenerator, XllamaDocumentEmbedder, XllamaRanker, XllamaTextEmbedder

FACTS = [
    "The llama is a domesticated animal of the Andes.",
    "The KV cache holds the keys and values of earlier tokens.",
    "Oslo is the capital of Norway.",
]
PROMPT = "{% for one in documents %}{{ one.content }} {% endfor %}\nIn one sentence: {{ question }}"


def main() -> None:
    store = InMemoryDocumentStore()
    documents = [Document(content=fact) for fact in FACTS]
    store.write_documents(XllamaDocumentEmbedder("all-minilm-l6-v2").run(documents)["documents"])

    pipeline = Pipeline()
    pipeline.add_component("embed", XllamaTextEmbedder("all-minilm-l6-v2"))
    pipeline.add_component("find", InMemoryEmbeddingRetriever(store))
    pipeline.add_component("rank", XllamaRanker("xllama-rerank-mini", top_k=1))
    pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user(PROMPT)], required_variables="*"))
    pipeline.add_component(
        "answer", XllamaChatGenerator("smollm2-135m-instruct", n_ctx=1024, temperature=0, max_tokens=40)
    )
    pipeline.connect("embed.embedding", "find.query_embedding")
    pipeline.connect("find.documents", "rank.documents")
    pipeline.connect("rank.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "answer.messages")

    question = "Where do llamas come from?"
    inputs = {"embed": {"text": question}, "rank": {"query": question}, "prompt": {"question": question}}
    result = pipeline.run(inputs, include_outputs_from={"rank"})
    print("found:", result["rank"]["documents"][0].content)
    print("answer:", result["answer"]["replies"][0].text)


if __name__ == "__main__":
    main()
