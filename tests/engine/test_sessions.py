"""Conversations that outlive their process, and files that are not session files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import random_pairs, write_byte_llama, write_lora
from xlc_core.engine import sessions

ONE: dict[str, Any] = {"max_tokens": 1, "temperature": 0}
PROMPT = "the story of a llama who had a hat"  # a few dozen tokens to the tiny model
HEAD = 16 + 8  # magic, version and length


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture
def tiny(tiny_path: Path) -> Iterator[xlc.Engine]:
    with xlc.Engine(tiny_path, n_ctx=256, n_parallel=2, n_threads=1) as engine:
        yield engine


@pytest.fixture
def session(tiny: xlc.Engine, tmp_path: Path) -> Path:
    path = tmp_path / "saved.session"
    tiny.save_session(path, prompt=PROMPT)
    return path


def test_conversation_goes_on_in_a_new_process(tmp_path: Path) -> None:
    rules = " ".join(f"Rule {i}: shelf {i} holds {7 * i} books." for i in range(30))
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": "How many are on shelf 3?"}]
    path = tmp_path / "talk.session"
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=2) as engine:
        reply = engine.chat(messages, temperature=0, max_tokens=12)
        messages.append({"role": "assistant", "content": reply.text})
        saved = engine.save_session(path, messages)
    assert (saved.path, saved.n_bytes, saved.model) == (path, path.stat().st_size, "smollm2-135m-instruct")
    assert saved.n_tokens > reply.usage.prompt_tokens > 300

    messages.append({"role": "user", "content": "And on shelf 4?"})
    code = f"""
import json
import xlc_core as xlc
with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=2) as engine:
    loaded = engine.load_session({str(path)!r})
    reply = engine.chat({messages!r}, temperature=0, max_tokens=12)
    fresh = engine.chat({messages!r}, temperature=0, max_tokens=12, cache_prompt=False)
    timings = reply.choices[0].timings
    print(json.dumps([loaded.n_tokens, reply.usage.prompt_tokens, reply.usage.cached_tokens, timings.prompt_tokens]))
    print(json.dumps([reply.text, fresh.text]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    numbers, texts = (json.loads(line) for line in done.stdout.splitlines())
    n_loaded, n_prompt, n_cached, n_computed = numbers
    assert n_loaded == saved.n_tokens
    assert saved.n_tokens - 2 <= n_cached <= saved.n_tokens
    assert n_computed == n_prompt - n_cached
    assert texts[0] == texts[1]


def test_last_conversation_is_saved_by_default(tiny: xlc.Engine, tmp_path: Path) -> None:
    tiny.complete("an older conversation", **ONE)
    n_prompt = tiny.complete(PROMPT, **ONE).usage.prompt_tokens
    assert tiny.save_session(tmp_path / "last").n_tokens == n_prompt
    tiny.complete("something else", cache_prompt=False, **ONE)
    tiny.load_session(tmp_path / "last")
    assert tiny.complete(PROMPT, **ONE).usage.cached_tokens == n_prompt - 1


def test_missing_tokens_are_computed_before_saving(tiny: xlc.Engine, tmp_path: Path) -> None:
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": "who"}]
    n_prompt = tiny.count_tokens(messages)
    assert tiny.save_session(tmp_path / "s", messages).n_tokens == n_prompt
    assert tiny.metrics().prompt_tokens == n_prompt
    assert tiny.save_session(tmp_path / "s", messages).n_tokens == n_prompt  # by now a slot holds it
    assert tiny.metrics().prompt_tokens == n_prompt
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_there_is_nothing_to_save_yet(tiny: xlc.Engine, tmp_path: Path) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="no slot holds a conversation"):
        tiny.save_session(tmp_path / "s")
    with pytest.raises(xlc.InvalidRequestError, match="messages or prompt, not both"):
        tiny.save_session(tmp_path / "s", "a", prompt="b")
    with pytest.raises(xlc.ContextOverflowError):
        tiny.save_session(tmp_path / "s", prompt="a" * 5000)
    assert not list(tmp_path.iterdir())


def damage(session: Path, edit: Callable[[bytearray], object]) -> None:
    content = bytearray(session.read_bytes())
    edit(content)
    session.write_bytes(content)


def flip(place: int) -> Callable[[bytearray], None]:
    def edit(content: bytearray) -> None:
        content[place] ^= 0x10

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda content: content.clear(), "is not a session file"),
        (flip(0), "is not a session file"),
        (flip(16), "has version 17 of the session format"),
        (flip(22), "its header is corrupt"),  # its length becomes a megabyte more
        (flip(HEAD + 15), "its header is corrupt"),
        (flip(-1), "its checksum is wrong"),
        (flip(-5000), "its checksum is wrong"),
        (lambda content: content.extend(b"x"), "followed by something else"),
        *((lambda content, n=n: content.__delitem__(slice(n, None)), "truncated") for n in (20, HEAD + 9, 900, -1)),
    ],
)
def test_damaged_file_is_refused_before_llama_cpp_sees_it(
    tiny: xlc.Engine, session: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[bytearray], object], reason: str
) -> None:
    damage(session, edit)
    monkeypatch.setattr(sessions, "SlotState", None)  # what llama.cpp would be given
    with pytest.raises(xlc.InvalidRequestError, match=reason) as caught:
        tiny.load_session(session)
    assert str(session) in str(caught.value)
    assert tiny.complete(PROMPT, **ONE).usage.completion_tokens == 1


def rewrite_header(session: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header and make its checksum right again."""
    content = session.read_bytes()
    (length,) = struct.unpack("<I", content[20:HEAD])
    header = json.loads(content[HEAD : HEAD + length])
    change(header)
    text = json.dumps(header).encode()
    head = content[:20] + struct.pack("<I", len(text)) + text
    session.write_bytes(head + hashlib.sha256(head).digest() + content[HEAD + length + 32 :])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: header.update(model="1-abc", model_name="other"), "another model, 'other'"),
        (lambda header: header.update(llama_cpp="0.1"), "was saved by llama.cpp 0.1"),
        (
            lambda header: header.update(llama_cpp="0.5.0 unknown, state format 3"),
            r"was saved by llama\.cpp 0\.5\.0 .*format 3, but this is 0\.6\.0 of .*format 4",
        ),
        (lambda header: header["settings"].update(cache_type_k="q8_0"), "cache_type_k = q8_0, but this engine has f16"),
        (lambda header: header.pop("sha256"), "values that save_session does not write"),
        (lambda header: header.update(surprise=1), "values that save_session does not write"),
        (lambda header: header.update(settings="x"), "values that save_session does not write"),
        (lambda header: header.update(settings=None), "values that save_session does not write"),
        (lambda header: header["settings"].update(cache_type_k=1), "values that save_session does not write"),
        (lambda header: header.update(n_bytes=math.inf), "values that save_session does not write"),
        (lambda header: header.update(n_bytes=-1), "values that save_session does not write"),
        (lambda header: header.update(n_tokens="many"), "values that save_session does not write"),
        (lambda header: header.update(n_tokens=True), "values that save_session does not write"),
        (lambda header: header.update(n_tokens=2**70), "values that save_session does not write"),
        (lambda header: header.update(model=1), "values that save_session does not write"),
        (lambda header: header.update(llama_cpp="a\nb"), r"saved by llama.cpp a\\nb, but"),
    ],
)
def test_file_from_elsewhere_is_refused(
    tiny: xlc.Engine, session: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    rewrite_header(session, change)
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        tiny.load_session(session)


@pytest.mark.parametrize(
    "text",
    [b'"x"', b"[]", b"17", b"null", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"9" * 5000, b"NaN"],
    ids=lambda text: repr(text[:12]),
)
def test_header_that_is_not_an_object_is_refused(tiny: xlc.Engine, session: Path, text: bytes) -> None:
    content = session.read_bytes()
    (length,) = struct.unpack("<I", content[20:HEAD])
    head = content[:20] + struct.pack("<I", len(text)) + text
    session.write_bytes(head + hashlib.sha256(head).digest() + content[HEAD + length + 32 :])
    with pytest.raises(xlc.InvalidRequestError, match="values that save_session does not write"):
        tiny.load_session(session)


def test_file_of_another_model_is_refused(session: Path, tmp_path: Path) -> None:
    other = write_byte_llama(tmp_path / "other.gguf", seed=1)
    with (
        xlc.Engine(other, n_ctx=512, n_threads=1) as engine,
        pytest.raises(xlc.InvalidRequestError, match="was saved with another model"),
    ):
        engine.load_session(session)


def test_session_that_does_not_fit_says_how_large_it_is(tiny_path: Path, session: Path, tmp_path: Path) -> None:
    with xlc.Engine(tiny_path, n_ctx=512, n_parallel=2, n_threads=1) as engine:
        long = engine.save_session(tmp_path / "long", prompt="a" * 400)
        assert long.n_tokens > 256
    with xlc.Engine(tiny_path, n_ctx=256, n_parallel=2, n_threads=1) as engine:
        with pytest.raises(
            xlc.InvalidRequestError, match=f"holds {long.n_tokens} tokens, but a slot of this engine holds 256"
        ):
            engine.load_session(tmp_path / "long")
        assert engine.load_session(session).n_tokens > 20


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cache_type_k": "f32"}, "cache_type_k = f16, but this engine has f32"),
        ({"kv_unified": False}, "n_parallel = any, with kv_unified, but this engine has 2"),
        ({"llama_args": ["--rope-freq-base", "5000"]}, "rope = "),
    ],
)
def test_other_settings_of_the_cache_are_refused(
    tiny_path: Path, session: Path, options: dict[str, Any], reason: str
) -> None:
    settings = {"n_ctx": 256, "n_parallel": 2, "n_threads": 1, **options}
    with xlc.Engine(tiny_path, **settings) as engine, pytest.raises(xlc.InvalidRequestError, match=reason):
        engine.load_session(session)


def test_in_pool_the_number_of_slots_is_free(tiny_path: Path, tmp_path: Path) -> None:
    with xlc.Engine(tiny_path, n_ctx=512, n_parallel=3, n_threads=1) as engine:
        saved = engine.save_session(tmp_path / "s", prompt=PROMPT)
    with xlc.Engine(tiny_path, n_ctx=512, n_parallel=1, n_threads=1) as engine:
        engine.load_session(saved.path)
        assert engine.complete(PROMPT, **ONE).usage.cached_tokens == saved.n_tokens - 1


def test_file_that_cannot_be_written_or_read_is_an_os_error(tiny: xlc.Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tiny.save_session(tmp_path / "no" / "such" / "place", prompt=PROMPT)
    with pytest.raises(FileNotFoundError):
        tiny.load_session(tmp_path / "none")


@pytest.mark.parametrize(("name", "reason"), [("a\0b", "a NUL character"), ("a\ud800b", r"'\\ud800'")])
async def test_name_that_no_file_can_have_is_refused(tiny: xlc.Engine, name: str, reason: str) -> None:
    for path in (name, Path(name)):
        for use in (tiny.save_session, tiny.load_session):
            with pytest.raises(xlc.InvalidRequestError, match=f"the session's path has .*{reason}"):
                use(path)
        for ause in (tiny.asave_session, tiny.aload_session):
            with pytest.raises(xlc.InvalidRequestError, match=reason):
                await ause(path)


def test_saving_that_fails_leaves_the_old_file(
    tiny: xlc.Engine, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = session.read_bytes()

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        tiny.save_session(session, prompt=PROMPT + " and a scarf")
    assert session.read_bytes() == old
    assert list(session.parent.iterdir()) == [session]


def test_loaded_session_replaces_oldest_slot(tiny: xlc.Engine, tmp_path: Path) -> None:
    saved = tiny.save_session(tmp_path / "s", prompt=PROMPT)
    for prompt in ("b" * 60, "c" * 60):  # in both slots
        tiny.complete(prompt, cache_prompt=False, **ONE)
    tiny.load_session(saved.path)
    assert tiny.complete("c" * 60, **ONE).usage.cached_tokens > 50
    assert tiny.complete(PROMPT, **ONE).usage.cached_tokens == saved.n_tokens - 1
    assert tiny.complete("b" * 60, **ONE).usage.cached_tokens > 50  # from the prompt cache


def test_loading_waits_for_a_slot_and_holds_up_nobody(tiny_path: Path, tmp_path: Path) -> None:
    session = tmp_path / "s"
    with xlc.Engine(tiny_path, n_ctx=512, n_parallel=1, n_threads=1) as engine:
        n_tokens = engine.save_session(session, prompt=PROMPT).n_tokens
        busy = engine.stream_complete("a", max_tokens=300, ignore_eos=True)
        next(busy)
        loaded: list[int] = []
        loading = threading.Thread(target=lambda: loaded.append(engine.load_session(session).n_tokens))
        loading.start()
        waiting = [engine.stream_complete(PROMPT, **ONE) for _ in range(3)]
        assert busy.result().usage.completion_tokens == 300
        for stream in waiting:
            assert stream.result().usage.completion_tokens == 1
        loading.join(10)
        assert loaded == [n_tokens]


def test_closing_ends_the_wait_for_a_slot(tiny_path: Path, tmp_path: Path) -> None:
    engine = xlc.Engine(tiny_path, n_ctx=512, n_parallel=1, n_threads=1, on_overflow="shift")
    session = tmp_path / "s"
    engine.save_session(session, prompt=PROMPT)
    stream = engine.stream_complete("a", ignore_eos=True)
    next(stream)
    failures: list[BaseException] = []

    def load() -> None:
        try:
            engine.load_session(session)
        except xlc.XllamaError as error:
            failures.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    loading.join(0.2)
    engine.close()
    loading.join(10)
    assert [type(error) for error in failures] == [xlc.EngineClosedError]
    for call in (lambda: engine.load_session(session), lambda: engine.save_session(session)):
        with pytest.raises(xlc.EngineClosedError):
            call()


def test_async_twins_do_the_same(tiny: xlc.Engine, tmp_path: Path) -> None:
    async def run() -> None:
        saved = await tiny.asave_session(tmp_path / "s", prompt=PROMPT)
        assert saved == await tiny.asave_session(tmp_path / "s")
        await tiny.acomplete("something else", cache_prompt=False, **ONE)
        assert await tiny.aload_session(tmp_path / "s") == saved
        reply = await tiny.acomplete(PROMPT, **ONE)
        assert reply.usage.cached_tokens == saved.n_tokens - 1
        with pytest.raises(xlc.InvalidRequestError, match="is not a session file"):
            await tiny.aload_session(__file__)

    asyncio.run(run())


def test_session_needs_same_adapters(tiny_path: Path, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "style.gguf", random_pairs("blk.0.attn_q.weight"), alpha=8.0)
    settings: dict[str, Any] = {"n_ctx": 256, "n_parallel": 2, "n_threads": 1}
    with xlc.Engine(tiny_path, lora=lora, **settings) as engine:
        n_cached = engine.complete(PROMPT, lora={"style": 0.5}, **ONE).usage.prompt_tokens - 1
        engine.complete(PROMPT, **ONE)
        engine.save_session(tmp_path / "half", prompt=PROMPT, lora={"style": 0.5})
    with xlc.Engine(tiny_path, lora=lora, **settings) as engine:
        engine.load_session(tmp_path / "half")
        assert engine.complete(PROMPT, lora={"style": 0.5}, **ONE).usage.cached_tokens == n_cached
        engine.load_session(tmp_path / "half")
        assert engine.complete(PROMPT, **ONE).usage.cached_tokens == 0
    with xlc.Engine(tiny_path, **settings) as engine, pytest.raises(xlc.InvalidRequestError, match="adapters = style"):
        engine.load_session(tmp_path / "half")


def test_session_of_a_draft_model_speculates_again(tiny_path: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"n_ctx": 512, "n_parallel": 1, "n_threads": 1}
    copying: dict[str, Any] = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}
    draft = xlc.DraftModel(tiny_path)
    with xlc.Engine(tiny_path, speculation=draft, **settings) as engine:
        first = engine.complete(PROMPT, **copying)
        engine.save_session(tmp_path / "s", prompt=PROMPT)
    for speculation in ([draft], []):
        with xlc.Engine(tiny_path, speculation=speculation, **settings) as engine:
            n_tokens = engine.load_session(tmp_path / "s").n_tokens
            again = engine.complete(PROMPT, **copying)
            assert again.text == first.text
            assert again.usage.cached_tokens in (again.usage.prompt_tokens - 1, n_tokens)
            assert (again.timings.draft_accepted > 0) == bool(speculation)


def test_session_of_recurrent_model_keeps_checkpoints(tmp_path: Path) -> None:
    model = Path(__file__).parents[1] / "model_files" / "hybrid.gguf"
    settings: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2, "n_threads": 1}
    writing: dict[str, Any] = {"temperature": 0, "max_tokens": 5, "ignore_eos": True}
    prompt = "abc def ghi" * 10
    with xlc.Engine(model, **settings) as engine:
        first = engine.complete(prompt, **writing)
        saved = engine.save_session(tmp_path / "s", prompt=prompt)
    with xlc.Engine(model, **settings) as engine:
        engine.load_session(tmp_path / "s")
        longer = prompt + first.text  # whose tokens differ at the end
        warm = engine.complete(longer, **writing)
        assert saved.n_tokens - 20 < warm.usage.cached_tokens <= saved.n_tokens
        assert warm.text == engine.complete(longer, cache_prompt=False, **writing).text


def test_encoder_has_no_sessions(embedder: xlc.Engine, tmp_path: Path) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="is an encoder"):
        embedder.save_session(tmp_path / "s", prompt="x")
