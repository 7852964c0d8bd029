"""Heads and layers that draft (tests/model_files/): the same text as without them, errors where they do not belong."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.tiny_media import RED, write_mmproj
from helpers.tiny_models import with_metadata
from helpers.waiting import wait_until
from xlc_core.benchmarking import measure_speculation

MODELS = Path(__file__).parents[1] / "model_files"
EAGLE3, DFLASH, DSPARK = (MODELS / f"llama-{kind}.gguf" for kind in ("eagle3", "dflash", "dspark"))
LLAMA = MODELS / "llama.gguf"
PROMPTS = [
    "The cache holds", "A slot is freed when", "def add(a, b):\n    return", "What is a token?", "slots " * 30,
    "Quite another text",
]  # fmt: skip
# A step over several tokens then rounds as a step for one does.
EXACT: dict[str, Any] = {
    "n_ctx": 1024, "n_parallel": 1, "n_threads": 1, "warmup": False,
    "cache_type_k": "f32", "cache_type_v": "f32", "flash_attn": "off",
}  # fmt: skip


def banned(model: Path) -> dict[int, bool]:
    """Tokens without a text of their own, so that texts tell tokens."""
    return dict.fromkeys(json.loads(model.with_suffix(".json").read_text("utf-8"))["banned"], False)


@dataclass
class Case:
    model: Path
    speculation: Any

    def open(self, *, speculation: Any = None, **options: Any) -> xlc.Engine:
        chosen = self.speculation if speculation is None else speculation
        return xlc.Engine(self.model, **{**EXACT, "speculation": chosen, **options})

    def ask(self, n_tokens: int | None = 40, **options: Any) -> dict[str, Any]:
        biased = {"logit_bias": banned(self.model)}
        return {"temperature": 0, "max_tokens": n_tokens, "ignore_eos": True, **biased, **options}


CASES = {
    "eagle3": Case(LLAMA, xlc.Eagle3(EAGLE3)),
    "dflash": Case(LLAMA, xlc.DFlash(DFLASH, n_max=4)),
    "dspark": Case(LLAMA, xlc.DSpark(DSPARK, n_max=5)),
    "mtp": Case(MODELS / "multi-token.gguf", xlc.Mtp()),
    "mtp-hybrid": Case(MODELS / "multi-token-hybrid.gguf", xlc.Mtp()),
}
# The others keep a state that cannot be cut off at any token.
without_state = pytest.mark.parametrize("case", ["eagle3", "dflash", "dspark", "mtp"], indirect=True)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def opened(case: Case) -> Iterator[xlc.Engine]:
    with case.open() as engine:
        yield engine


@pytest.fixture(scope="module")
def plain(case: Case) -> Iterator[xlc.Engine]:
    with case.open(speculation=()) as engine:
        yield engine


@pytest.fixture(scope="module")
def texts(case: Case, plain: xlc.Engine) -> list[str]:
    return [plain.complete(prompt, **case.ask()).text for prompt in PROMPTS]


def test_nothing_is_logged_of_fitting_it_to_memory(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.open().close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert "extra model" not in caplog.text


def test_text_is_the_same_in_fewer_steps(case: Case, opened: xlc.Engine, texts: list[str]) -> None:
    answers = [opened.complete(prompt, **case.ask()) for prompt in PROMPTS]
    assert [answer.text for answer in answers] == texts
    for timings in (answer.timings for answer in answers):
        assert timings.generation_tokens == 40
        assert timings.draft_tokens >= timings.draft_accepted > 0
        assert 0 < timings.draft_steps <= 40 - timings.draft_accepted
    assert sum(answer.timings.draft_tokens - answer.timings.draft_accepted for answer in answers) > 20  # some are wrong
    assert opened.metrics().draft_tokens >= sum(answer.timings.draft_tokens for answer in answers)


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 5, 8])
def test_answers_end_where_they_should(case: Case, opened: xlc.Engine, plain: xlc.Engine, n_tokens: int) -> None:
    answer = opened.complete(PROMPTS[0], **case.ask(n_tokens))
    assert answer.text == plain.complete(PROMPTS[0], **case.ask(n_tokens)).text
    assert answer.usage.completion_tokens == n_tokens


def test_request_can_turn_it_off(case: Case, opened: xlc.Engine, texts: list[str]) -> None:
    for speculative in (False, True, False):
        answer = opened.complete(PROMPTS[1], **case.ask(speculative=speculative))
        assert answer.text == texts[1]
        assert (answer.timings.draft_tokens > 0) is speculative
    assert opened.complete(PROMPTS[1], **case.ask(logprobs=1)).timings.draft_tokens == 0


@pytest.mark.parametrize("options", [{"n_parallel": 4}, {"n_parallel": 3, "kv_unified": True}])
def test_requests_side_by_side_do_not_mix(case: Case, options: dict[str, Any], texts: list[str]) -> None:
    async def ask_all(engine: xlc.Engine) -> list[xlc.Completion]:
        return await asyncio.gather(
            *(engine.acomplete(prompt, **case.ask(speculative=i != 1)) for i, prompt in enumerate(PROMPTS * 2))
        )

    with case.open(**options) as engine:
        answers = asyncio.run(ask_all(engine))
        several = engine.complete(PROMPTS[0], **case.ask(), n=3)
    assert [answer.text for answer in answers] == texts * 2
    assert [answer.timings.draft_tokens > 0 for answer in answers] == [i != 1 for i in range(len(answers))]
    assert [choice.text for choice in several.choices] == texts[:1] * 3


@pytest.mark.parametrize("n_parallel", [3, 4])
def test_one_may_draft_beside_others_that_do_not(case: Case, n_parallel: int, texts: list[str]) -> None:
    """A step then has several tokens of one request and one of each other, which a recurrent state minds."""

    async def ask_all(engine: xlc.Engine, drafting: int) -> list[str]:
        requests = (
            engine.acomplete(prompt, **case.ask(speculative=i == drafting))
            for i, prompt in enumerate(PROMPTS[:n_parallel])
        )
        return [answer.text for answer in await asyncio.gather(*requests)]

    with case.open(n_parallel=n_parallel) as engine:
        for drafting in range(n_parallel):
            assert asyncio.run(ask_all(engine, drafting)) == texts[:n_parallel]


def test_ngrams_may_draft_first(case: Case, texts: list[str]) -> None:
    with case.open(speculation=[xlc.Ngram("simple", n_match=2, n_max=4), case.speculation]) as engine:
        answers = [engine.complete(prompt, **case.ask()) for prompt in PROMPTS]
    assert [answer.text for answer in answers] == texts
    assert all(answer.timings.draft_accepted > 0 for answer in answers)


def test_conversations_take_turns(case: Case, opened: xlc.Engine, plain: xlc.Engine) -> None:
    """Each comes back from the cache of prompts, where it lost its slot to the other."""
    written = list(PROMPTS[:2])
    for _ in range(3):
        for i in range(2):
            request = case.ask(20, cache_prompt=True)
            answer = opened.complete(written[i], **request)
            assert answer.text == plain.complete(written[i], **request).text
            assert answer.timings.draft_tokens > 0
            written[i] += f"{answer.text} and"
    assert answer.usage.cached_tokens > 30


def test_long_prompts_come_in_parts(case: Case) -> None:
    small: dict[str, Any] = {"n_batch": 32, "n_ubatch": 16}
    prompt = " ".join(PROMPTS * 4)
    with case.open(speculation=(), **small) as engine:
        expected = engine.complete(prompt, **case.ask()).text
    with case.open(**small) as engine:
        answer = engine.complete(prompt, **case.ask())
    assert answer.text == expected
    assert answer.timings.draft_tokens > 0


@without_state
@pytest.mark.parametrize("speculative", [True, False])
def test_context_may_shift(case: Case, speculative: bool) -> None:
    shifting: dict[str, Any] = {"n_ctx": 256, "on_overflow": "shift"}
    with case.open(speculation=(), **shifting) as engine:
        expected = engine.complete(PROMPTS[0], **case.ask(320)).text
    with case.open(**shifting) as engine:
        answer = engine.complete(PROMPTS[0], **case.ask(320, speculative=speculative))
        again = engine.complete(PROMPTS[0], **case.ask(20))
    assert answer.text == expected
    assert answer.usage.completion_tokens == 320
    assert again.timings.draft_accepted > 0


def test_full_context_ends_the_answer(case: Case) -> None:
    """Whatever the draft that reaches its end."""
    with case.open(n_ctx=256) as engine:
        for n_more in range(5):
            prompt = "y" * (220 + n_more)
            answer = engine.complete(prompt, **case.ask(None))
            unassisted = engine.complete(prompt, **case.ask(None, speculative=False))
            assert (answer.text, answer.finish_reason) == (unassisted.text, "length")
            assert answer.usage.completion_tokens == unassisted.usage.completion_tokens


def test_sessions_go_on_with_and_without_it(case: Case, plain: xlc.Engine, tmp_path: Path) -> None:
    request = case.ask(20, cache_prompt=True)
    begun = f"{PROMPTS[0]}{plain.complete(PROMPTS[0], **request).text}"
    prompt = f"{begun} and"
    expected = plain.complete(prompt, **request).text
    plain.complete(begun, **request)
    plain.save_session(tmp_path / "plain")
    with case.open() as engine:
        engine.complete(begun, **request)
        engine.save_session(tmp_path / "drafted")
    for name in ("drafted", "plain"):
        with case.open() as engine:
            engine.load_session(tmp_path / name)
            answer = engine.complete(prompt, **request)
            assert answer.text == expected
            assert answer.usage.cached_tokens > 20
            assert answer.timings.draft_tokens > 0
    with case.open(speculation=()) as engine:
        engine.load_session(tmp_path / "drafted")
        assert engine.complete(prompt, **request).text == expected


def test_cancelled_and_closed_streams_leave_nothing(case: Case, opened: xlc.Engine, texts: list[str]) -> None:
    for n_events in range(0, 12, 3):
        stream = opened.stream_complete(PROMPTS[n_events % 4], **case.ask(300))
        for _ in zip(range(n_events), stream, strict=False):
            pass
        stream.close()
    assert [opened.complete(prompt, **case.ask()).text for prompt in PROMPTS] == texts
    engine = case.open()
    stream = engine.stream_complete(PROMPTS[0], **case.ask(500))
    next(iter(stream))
    engine.close()
    with pytest.raises(xlc.EngineClosedError):
        stream.result()


@without_state
def test_constraint_holds(opened: xlc.Engine) -> None:
    answer = opened.complete(
        PROMPTS[0], max_tokens=60, temperature=0, constraint=xlc.Regex("[a-z ]{10,20} The answer is final: [0-9]{3}")
    )
    assert "The answer is final: " in answer.text
    assert answer.timings.draft_accepted > 5


def test_memory_is_as_estimated_and_given_back(case: Case, texts: list[str]) -> None:
    estimate = xlc.Engine.estimate(case.model, **{**EXACT, "speculation": case.speculation})
    alone = xlc.Engine.estimate(case.model, **{**EXACT, "speculation": ()})
    with case.open(sleep_after=0.2) as engine:
        memory = engine.memory()
        for part in ("model", "context", "compute", "total"):
            assert getattr(estimate, part) == pytest.approx(getattr(memory, part), rel=0.02)
        assert estimate.context > alone.context
        assert wait_until(lambda: engine.memory().asleep)
        answer = engine.complete(PROMPTS[0], **case.ask())
    assert answer.text == texts[0]
    assert answer.timings.draft_accepted > 0


@pytest.mark.parametrize(("name", "architecture"), [("mtp", "glm4moe"), ("mtp-hybrid", "qwen35")])
def test_layers_may_be_in_a_file_of_their_own(name: str, architecture: str, tmp_path: Path) -> None:
    case = CASES[name]
    layers = with_metadata(case.model, tmp_path / "layers.gguf", without=("blk.0.", "blk.1."))
    changes: dict[str, Any] = {f"{architecture}__block_count": 2, f"{architecture}__nextn_predict_layers": None}
    if name == "mtp-hybrid":
        changes["qwen35__attention__recurrent_layers"] = [True, False]
    model = with_metadata(case.model, tmp_path / "model.gguf", without=("blk.2.",), **changes)
    answers = []
    for path, speculation in ((case.model, case.speculation), (model, xlc.Mtp(layers)), (case.model, ())):
        with Case(path, speculation).open() as engine:
            answers.append([engine.complete(prompt, **case.ask()) for prompt in PROMPTS])
    written = [[answer.text for answer in some] for some in answers]
    assert written[0] == written[1] == written[2]
    drafted = [[answer.timings.draft_accepted for answer in some] for some in answers]
    assert drafted[0] == drafted[1]


@pytest.mark.parametrize("case", ["dspark", "mtp"], indirect=True)
def test_drafts_end_where_the_head_is_not_sure(texts: list[str], case: Case) -> None:
    speculation = case.speculation.model_copy(update={"p_min": 0.9})
    drafted = []
    for chosen in (speculation, case.speculation):
        with case.open(speculation=chosen) as engine:
            answers = [engine.complete(prompt, **case.ask()) for prompt in PROMPTS]
        assert [answer.text for answer in answers] == texts
        drafted.append(sum(answer.timings.draft_tokens for answer in answers))
    assert 0 < drafted[0] < 0.95 * drafted[1]


def test_heads_are_measured() -> None:
    report = measure_speculation(
        LLAMA, draft=DSPARK, types=["draft-dspark", "draft-eagle3"], prompts=["copy"], n_predict=8, n_threads=1
    )
    assert {result.setting.type_name for result in report.results} == {"draft-dspark"}
    assert all(result.draft_tokens > 0 for result in report.results)
    assert "head for draft-dspark" in report.unavailable["draft-eagle3"]


def test_images_may_come_between(tmp_path: Path) -> None:
    """llama.cpp's heads skip them."""
    mmproj = write_mmproj(tmp_path / "mmproj.gguf", n_text=48)
    messages: list[Any] = [
        {"role": "user", "content": ["A slot is freed when", xlc.ImagePart(data=RED), "What is a token?"]}
    ]
    answers = []
    for speculation in ((), xlc.Eagle3(EAGLE3), xlc.DFlash(DFLASH, n_max=4), xlc.DSpark(DSPARK)):
        with CASES["eagle3"].open(speculation=speculation, mmproj=mmproj) as engine:
            answers += [engine.chat(messages, **CASES["eagle3"].ask()) for _ in range(2)]
    assert len({answer.text for answer in answers}) == 1
    assert all(answer.timings.draft_tokens > 0 for answer in answers[2:])


@pytest.mark.parametrize("kind", ["eagle3", "dflash"])
def test_model_may_be_one_that_cannot_drop_tokens(kind: str, tmp_path: Path) -> None:
    hybrid = MODELS / "hybrid.gguf"
    source, option = (EAGLE3, xlc.Eagle3) if kind == "eagle3" else (DFLASH, xlc.DFlash)
    head = with_metadata(
        source, tmp_path / "head.gguf", tokenizer_of=hybrid, tensors={"d2t": np.arange(256, dtype=np.int64)},
        tokenizer__ggml__mask_token_id=0,
    )  # fmt: skip
    texts = []
    for speculation in ((), option(head)):
        case = Case(hybrid, speculation)
        with case.open(n_parallel=2) as engine:
            texts.append([engine.complete(prompt, **case.ask()).text for prompt in PROMPTS])
            timings = engine.complete(PROMPTS[0], **case.ask()).timings
    assert texts[0] == texts[1]
    assert timings.draft_tokens > 0


@pytest.mark.parametrize(
    ("model", "speculation", "reason"),
    [
        ("mixture-of-experts", xlc.Eagle3(EAGLE3), "draft-eagle3.*states of 48 numbers.* 32"),
        ("mixture-of-experts", xlc.DFlash(DFLASH), "draft-dflash.*states of 48 numbers.* 32"),
        ("mixture-of-experts", xlc.DSpark(DSPARK), "draft-dspark.*states of 48 numbers.* 32"),
        ("hybrid", xlc.Eagle3(EAGLE3), "another vocabulary"),
        ("hybrid", xlc.DFlash(DFLASH), "another vocabulary"),
        ("hybrid", xlc.DSpark(DSPARK), "another vocabulary"),
        ("llama", xlc.Eagle3(DFLASH), "is a head for draft-dflash"),
        ("llama", xlc.DFlash(EAGLE3), "is a head for draft-eagle3"),
        ("llama", xlc.DFlash(DSPARK), "is a head for draft-dspark"),
        ("llama", xlc.DSpark(DFLASH), "is a head for draft-dflash"),
        ("llama", xlc.DFlash(LLAMA), "not a head.*architecture is llama"),
        ("llama", xlc.DSpark(LLAMA), "not a head.*architecture is llama"),
        ("llama", xlc.DraftModel(EAGLE3), "not a model but a head for draft-eagle3"),
        ("llama", [xlc.Ngram("simple"), xlc.DraftModel(DFLASH)], "draft-simple.*a model but a head for draft-dflash"),
        ("llama", xlc.Mtp(), "draft-mtp.*no layers.*MTP"),
        ("llama", xlc.Mtp(LLAMA), "draft-mtp.*llama.gguf.*no layers.*MTP"),
        ("llama", xlc.Mtp(MODELS / "multi-token.gguf"), "draft-mtp.*another vocabulary"),
        ("llama-eagle3", (), "not a model but a head"),
        ("llama-dspark", (), "not a model but a head"),
    ],
)
def test_mismatched_files_raise_error(model: str, speculation: Any, reason: str) -> None:
    with pytest.raises(xlc.ModelLoadError, match=reason), Case(MODELS / f"{model}.gguf", speculation).open(n_ctx=512):
        pass


@pytest.mark.parametrize(
    ("model", "source", "changes", "reason"),
    [
        (LLAMA, EAGLE3, {"eagle3__target_layers": [0, 1, 3]}, "reads layer 3 of its model, but this one has 2"),
        (LLAMA, EAGLE3, {"tensors": {"d2t": np.arange(256) + 300}}, "tokens that the model does not have"),
        (LLAMA, DFLASH, {"dflash__target_layers": [0, 7]}, "reads layer 7"),
        (LLAMA, DFLASH, {"tokenizer__ggml__mask_token_id": None}, "mask token"),
        (LLAMA, DSPARK, {"dflash__block_size": None}, "block_size"),
        (MODELS / "recurrent.gguf", DFLASH, {"tokenizer_of": MODELS / "recurrent.gguf"}, "architecture mamba"),
    ],
    ids=["layer", "tokens", "dflash-layer", "mask", "block", "architecture"],
)
def test_head_that_llama_cpp_would_abort_on_is_an_error(
    model: Path, source: Path, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    head = with_metadata(source, tmp_path / "head.gguf", **changes)
    if "tokenizer_of" in changes:
        head = with_metadata(head, tmp_path / "masked.gguf", tokenizer__ggml__mask_token_id=0)
    option = {EAGLE3: xlc.Eagle3, DFLASH: xlc.DFlash, DSPARK: xlc.DSpark}[source]
    with pytest.raises(xlc.ModelLoadError, match=reason), Case(model, option(head)).open():
        pass
