"""Recordings and forms, with the package ``openai`` as the client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

import xlc_core as xlc
import xlc_server
from helpers.servers import WAYS, reached, running_server
from helpers.tiny_media import HIGH, LOW, RED, wav, write_mmproj
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until

PATH = "/v1/audio/transcriptions"
SHORT: Any = {"extra_body": {"max_tokens": 6}}


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.EnginePool]:
    """A model that hears, with random weights, and one that does not."""
    folder = tmp_path_factory.mktemp("models")
    tiny, mmproj = write_byte_llama(folder / "tiny.gguf", n_ctx=2048), write_mmproj(folder / "mmproj.gguf", audio=True)
    models: Any = {"ears": {"model": tiny, "mmproj": mmproj}, "deaf": {"model": tiny}}
    with xlc.EnginePool(models, others="none", n_ctx=2048, n_parallel=2, n_threads=1) as pool:
        yield pool


@pytest.fixture(params=WAYS)
def hearing(request: pytest.FixtureRequest, ears: xlc.EnginePool) -> Iterator[openai.OpenAI]:
    if request.param == "portless":
        with xlc_server.openai_client(ears) as client:
            yield client
    else:
        with (
            running_server(ears) as url,
            openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        ):
            yield client


@pytest.fixture(params=WAYS)
def http(request: pytest.FixtureRequest, ears: xlc.EnginePool) -> Iterator[httpx.Client]:
    with reached(request.param, ears, max_body_bytes=1 << 20) as client:
        yield client


def expected(ears: xlc.EnginePool, sound: bytes, task: str = "Transcribe audio to text") -> xlc.Completion:
    message = xlc.Message(role="user", content=(xlc.TextPart(text=task), xlc.AudioPart(data=sound)))
    with ears.acquire("ears") as lease:
        return lease.engine.chat([message], max_tokens=6, temperature=0)


def test_text_is_the_engines(hearing: openai.OpenAI, ears: xlc.EnginePool) -> None:
    for sound in (LOW, HIGH):
        answer = hearing.audio.transcriptions.create(model="ears", file=("a.wav", sound), **SHORT)
        wanted = expected(ears, sound)
        assert answer.text == wanted.text
        usage: Any = answer.usage
        assert (usage.input_tokens, usage.output_tokens) == (wanted.usage.prompt_tokens, 6)
    asked = hearing.audio.transcriptions.create(
        model="ears", file=("a.wav", LOW), prompt="Write it down.", language="de", temperature=0, **SHORT
    )
    assert asked.text == expected(ears, LOW, "Write it down. (language: de)").text


def test_forms_of_the_answer(hearing: openai.OpenAI, ears: xlc.EnginePool) -> None:
    given: Any = {"model": "ears", "file": ("a.wav", wav(440, seconds=0.5)), **SHORT}
    wanted = expected(ears, given["file"][1])
    text: Any = hearing.audio.transcriptions.create(response_format="text", **given)
    assert text == wanted.text + "\n"
    verbose: Any = hearing.audio.transcriptions.create(response_format="verbose_json", language="en", **given)
    assert (verbose.text, verbose.duration, verbose.language) != ("", 0.0, "")
    assert (verbose.duration, verbose.language) == (0.5, "en")
    likely: Any = hearing.audio.transcriptions.create(include=["logprobs"], **given)
    assert "".join(token.token for token in likely.logprobs) == likely.text
    assert all(token.logprob <= 0 for token in likely.logprobs)


def test_streams(hearing: openai.OpenAI, ears: xlc.EnginePool) -> None:
    stream = hearing.audio.transcriptions.create(model="ears", file=("a.wav", LOW), stream=True, **SHORT)
    events: list[Any] = list(stream)
    assert {event.type for event in events[:-1]} == {"transcript.text.delta"}
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == expected(ears, LOW).text
    endless: Any = {"extra_body": {"max_tokens": 1500}}
    with hearing.audio.transcriptions.create(model="ears", file=("a.wav", LOW), stream=True, **endless) as left:
        assert next(iter(left)).type == "transcript.text.delta"
    with ears.acquire("ears") as lease:
        assert wait_until(lambda: is_idle(lease.engine))


def test_model_that_does_not_hear_refuses(hearing: openai.OpenAI) -> None:
    for streams in (False, True):
        with pytest.raises(openai.BadRequestError, match="does not hear") as raised:
            hearing.audio.transcriptions.create(model="deaf", file=("a.wav", LOW), stream=streams, **SHORT)
        assert raised.value.param == "model"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"response_format": "srt"}, "response_format"),
        ({"response_format": "verbose_json", "timestamp_granularities": ["word"]}, "does not report times"),
        ({"response_format": "text", "stream": True}, "a stream has the form json"),
        ({"temperature": 9}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"extra_body": {"voice": "x"}}, "unknown field 'voice'"),
        ({"file": ("a.wav", RED)}, "sound"),
        ({"file": ("a.wav", b"")}, "file"),
        ({"file": ("a.wav", LOW[:20])}, "cannot be decoded"),
    ],
)
def test_wrong_forms(hearing: openai.OpenAI, options: dict[str, Any], message: str) -> None:
    given: Any = {"model": "ears", "file": ("a.wav", LOW), **options}
    with pytest.raises(openai.BadRequestError, match=message):
        hearing.audio.transcriptions.create(**given)


def part(name: str, value: bytes, boundary: bytes = b"xx") -> bytes:
    return b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, name.encode(), value)


FORM = {"content-type": "multipart/form-data; boundary=xx"}
BROKEN: list[Any] = [
    ({}, b"x"),
    ({"content-type": "application/json"}, b"{}"),
    ({"content-type": "multipart/form-data"}, b"--xx--"),
    ({"content-type": "multipart/form-data; boundary=" + "x" * 300}, b""),
    (FORM, b""),
    (FORM, b"--yy\r\n"),
    (FORM, part("model", b"ears")),
    (FORM, part("file", b"x" * 100)[:-40]),
    (FORM, part("model", b"ears") * 2 + b"--xx--\r\n"),
    (FORM, b"".join(part(f"f{number}", b"x") for number in range(200)) + b"--xx--\r\n"),
    (FORM, part("prompt", b"x" * 70_000) + b"--xx--\r\n"),
    (FORM, b"--xx\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n--xx--\r\n"),
    (FORM, b"--xx\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xx--\r\n"),
    (FORM, part("file", b"not a file") + b"--xx--\r\n"),
]


@pytest.mark.parametrize(("headers", "body"), BROKEN)
def test_broken_forms(http: httpx.Client, headers: dict[str, str], body: bytes) -> None:
    answer = http.post(PATH, content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_size_is_limited(http: httpx.Client) -> None:
    for n_bytes, status in ((2 << 20, 413), (900_000, 400)):
        answer = http.post(PATH, files={"file": ("a.wav", bytes(n_bytes))}, data={"model": "ears"})
        assert answer.status_code == status


def test_large_recording(http: httpx.Client, ears: xlc.EnginePool) -> None:
    sound = wav(440, seconds=20)  # read on a helper thread
    answer = http.post(PATH, files={"file": ("a.wav", sound)}, data={"model": "ears", "max_tokens": "6"})
    assert answer.json()["text"] == expected(ears, sound).text
