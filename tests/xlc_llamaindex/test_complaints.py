"""Complaints of LlamaIndex's users about local models, each with its number in run-llama/llama_index."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llama_index.core import SummaryIndex
from llama_index.core.base.llms.types import ThinkingBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from helpers.llamaindex_watching import watched_events
from xlc_core import Engine, Finished, ReasoningDelta, TextDelta
from xlc_core.results import Completion, CompletionChoice, Usage
from xlc_core.testing import ScriptedEngine
from xlc_llamaindex import XLlama, XLlamaEmbedding, XLlamaRerank

if TYPE_CHECKING:
    from collections.abc import Sequence

STORY = [ChatMessage(content="Tell a story about a dog.")]


async def test_stream_comes_bit_by_bit(llm: XLlama) -> None:
    """#17024: streams that print all at once."""

    def is_running() -> int:
        return llm._get_engine().metrics().requests_running

    # The model still writes while the first pieces are there.
    assert sum([is_running() for response in llm.stream_chat(STORY) if response.delta]) > 3
    stream = await llm.astream_complete("Tell a story about a dog.")
    assert sum([is_running() async for response in stream if response.delta]) > 3


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("mode", ["tree_summarize", "compact"])
def test_summaries_fit_into_context(smollm2_path: Any, mode: Any) -> None:
    """#14066, #8046: summarising overflows the context.

    With the model's own tokenizer in Settings and its real context in the metadata, LlamaIndex packs prompts that
    fit; an overflow would raise ContextOverflowError.
    """
    with XLlama(model="smollm2-135m-instruct", n_ctx=1024, engine_options={"n_parallel": 1}, max_tokens=8) as small:
        texts = [f"Fact {n}: " + "übergrößenträger 猫 zzyzx " * 3 for n in range(16)]
        index = SummaryIndex([TextNode(text=text) for text in texts])
        with watched_events() as events:
            response = index.as_query_engine(llm=small, response_mode=mode, use_async=False).query("Summarise.")
        ends = [*events.of("LLMChatEndEvent"), *events.of("LLMCompletionEndEvent")]
    assert str(response)
    used = [end.response.raw["usage"]["prompt_tokens"] for end in ends]
    assert len(used) > 1, "the texts are longer than one context"
    assert max(used) <= 1024 - 8
    assert len(used) < len(texts), "and several of them fit into one"


async def test_answers_hold_no_prompt_markup(llm: XLlama) -> None:
    """#13320: prompt markup in answers. The template is the model's own, also for complete."""
    for text in (
        llm.complete("Say hello.").text,
        (await llm.achat([ChatMessage(content="Say hello.")])).message.content,
    ):
        assert "<|" not in text
        assert "[INST]" not in text
    n_bare = len(llm.tokenizer("Say hello."))
    assert llm.complete("Say hello.", max_tokens=1).raw["usage"]["prompt_tokens"] > n_bare + 5
    formatted = llm.complete("Say hello.", formatted=True, max_tokens=1)
    assert formatted.raw["usage"]["prompt_tokens"] == n_bare


async def test_async_embeddings_are_one_batch(embed_model: XLlamaEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    """#19204: async embeddings not batched."""
    sizes: list[int] = []
    embed = Engine.aembed

    async def counted(engine: Engine, texts: Sequence[str], **options: Any) -> Any:
        sizes.append(len(texts))
        return await embed(engine, texts, **options)

    monkeypatch.setattr(Engine, "aembed", counted)
    vectors = await embed_model.aget_text_embedding_batch([f"text {n}" for n in range(300)])
    assert len(vectors) == 300
    assert sizes == [300]


def test_reranking_needs_neither_torch_nor_gpu(rerank: XLlamaRerank) -> None:
    """#9902, #10172: a local reranker is wanted, on the CPU to spare the GPU."""
    on_cpu = XLlamaRerank(model=rerank.model, top_n=3, engine_options={"n_gpu_layers": 0})
    nodes = [NodeWithScore(node=TextNode(text=f"The slot number {n} is free."), score=0.1) for n in range(50)]
    on_cpu.load()
    assert len(on_cpu.postprocess_nodes(nodes, query_str="Which slot is free?")) == 3
    assert "torch" not in sys.modules
    on_cpu.close()


def test_scores_are_python_floats(rerank: XLlamaRerank, embed_model: XLlamaEmbedding) -> None:
    """#10780: the reranker returned numpy floats, which cannot be written as JSON."""
    nodes = [NodeWithScore(node=TextNode(text="A slot is free."), score=0.1)]
    for reranker in (rerank, XLlamaRerank(model=embed_model.model)):
        json.dumps([node.score for node in reranker.postprocess_nodes(nodes, query_str="slot")])
        assert reranker.postprocess_nodes(nodes, query_str="slot")[0].model_dump_json()


@pytest.mark.parametrize("mode", [MetadataMode.EMBED, MetadataMode.NONE, MetadataMode.ALL])
def test_each_node_has_score_of_its_own_text(rerank: XLlamaRerank, reranker: Engine, mode: MetadataMode) -> None:
    """#20597: wrong nodes scored."""
    query = "Who wrote the letter?"
    nodes = [
        NodeWithScore(
            node=TextNode(
                text=f"Letter {n}. " + "It rained. " * (n % 3),
                metadata={"author": "Ann" if n % 2 else "", "secret": str(n)},
                excluded_embed_metadata_keys=["secret"],
            ),
            score=0.1,
        )
        for n in range(7)
    ]
    every = XLlamaRerank(model=rerank.model, top_n=7, metadata_mode=mode)
    texts = [node.node.get_content(metadata_mode=mode) for node in nodes]
    expected = {score.index: score.score for score in reranker.rerank(query, texts)}
    for best in every.postprocess_nodes(nodes, query_str=query):
        index = next(n for n, node in enumerate(nodes) if node.node.node_id == best.node.node_id)
        np.testing.assert_allclose(best.score, expected[index], atol=0.05)


async def test_thinking_is_not_lost_in_streams() -> None:
    """#21232, #20063: thinking lost in streams."""
    choice = CompletionChoice(text="Rain.", reasoning="Oslo, so rain.")
    events = [
        ReasoningDelta("Oslo, "),
        ReasoningDelta("so rain."),
        TextDelta("Rain."),
        Finished(Completion((choice,), Usage(9, 6), "scripted")),
    ]
    llm = XLlama(engine=ScriptedEngine([events]))
    astreamed = [response async for response in await llm.astream_chat(STORY)]
    for responses in (list(llm.stream_chat(STORY)), astreamed):
        assert [response.additional_kwargs.get("thinking_delta") for response in responses] == [
            "Oslo, ",
            "so rain.",
            None,
            None,
        ]
        assert [response.delta for response in responses] == ["", "", "Rain.", ""]
        thought, said = responses[-1].message.blocks
        assert isinstance(thought, ThinkingBlock)
        assert (thought.content, said.text) == ("Oslo, so rain.", "Rain.")
    completions = [response async for response in await llm.astream_complete("Hi")]
    assert [response.additional_kwargs.get("thinking_delta") for response in completions][:2] == ["Oslo, ", "so rain."]
    assert completions[-1].text == "Rain."


async def test_tokens_of_streams_are_counted_right(llm: XLlama) -> None:
    """#17673: token counts wrong in streams."""
    counter = TokenCountingHandler(tokenizer=llm.tokenizer)
    counted = llm.model_copy(update={"callback_manager": CallbackManager([counter])})
    whole = counted.chat(STORY)
    list(counted.stream_chat(STORY))
    async for _ in await counted.astream_chat(STORY):
        pass
    list(counted.stream_complete(STORY[0].content))
    usage = whole.raw["usage"]
    expected = [(usage["prompt_tokens"], usage["completion_tokens"])] * 4
    counts = [(event.prompt_token_count, event.completion_token_count) for event in counter.llm_token_counts]
    assert counts == expected


def test_long_document_keeps_question_after_it(llm: XLlama) -> None:
    """sentence-transformers #3787: truncation cuts what a generative reranker is asked at the end."""
    judge = XLlamaRerank(model=llm.model, n_ctx=512, top_n=2)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("A dog. " * 900, "A cat.")]
    best = judge.postprocess_nodes(nodes, query_str="Is there a dog?")
    assert all(np.isfinite(node.score) for node in best)
    assert len(best) == 2
    judge.close()
