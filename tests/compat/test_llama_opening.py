"""How a Llama opens, what it says of its model, and how it stands in for llama_cpp."""

from __future__ import annotations

import ctypes
import inspect
import logging
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

import xlc_core as xlc
from helpers.hub_server import HubServer
from xlc_core.compat import llama_cpp
from xlc_core.compat.llama_cpp import Llama, LlamaDiskCache, LlamaRAMCache, llama_chat_format
from xlc_core.compat.llama_cpp.llama_chat_format import Jinja2ChatFormatter, Llava15ChatHandler
from xlc_core.compat.llama_cpp.llama_speculative import LlamaPromptLookupDecoding
from xlc_core.compat.llama_cpp.opening import engine_options

MODELS = Path(__file__).parents[1] / "model_files"
TINY = str(MODELS / "llama.gguf")
OVERRIDES = ("a=bool:true", "b=int:2", "c=float:0.5", "d=str:x")
DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(Llama.__init__).parameters.items()
    if name not in ("self", "model_path", "kwargs")
}


def options(**given: Any) -> dict[str, Any]:
    known = {name: value for name, value in given.items() if name in DEFAULTS}
    return engine_options({**DEFAULTS, **known}, {name: value for name, value in given.items() if name not in known})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n_gpu_layers": -1}, {"n_gpu_layers": "all"}),
        ({"split_mode": llama_cpp.LLAMA_SPLIT_MODE_ROW}, {"split_mode": "row"}),
        ({"n_ctx": 128}, {"n_ctx": 128, "n_batch": 128, "n_ubatch": 128}),
        ({"n_batch": 8}, {"n_batch": 8, "n_ubatch": 8}),
        ({"flash_attn": True}, {"flash_attn": "on"}),
        ({"pooling_type": llama_cpp.LLAMA_POOLING_TYPE_CLS}, {"pooling": "cls"}),
        ({"type_k": llama_cpp.GGML_TYPE_Q8_0}, {"cache_type_k": "q8_0"}),
        ({"lora_path": "a.gguf", "lora_scale": 0.5}, {"lora": {"a.gguf": 0.5}, "use_mmap": False}),
        ({"chat_format": "llama-2"}, {"chat_template": "llama2"}),
        ({"chat_handler": Llava15ChatHandler(clip_model_path="p.gguf")}, {"mmproj": "p.gguf"}),
        ({"draft_model": LlamaPromptLookupDecoding(3, 4)}, {"speculation": (xlc.Ngram(n_match=3, n_max=4),)}),
        ({"numa": True}, {"llama_args": ("--numa", "distribute")}),
        ({"offload_kqv": False, "swa_full": True}, {"llama_args": ("--no-kv-offload", "--swa-full")}),
        ({"rope_freq_base": 1e4}, {"llama_args": ("--rope-freq-base", "10000.0")}),
        (
            {"rope_scaling_type": llama_cpp.LLAMA_ROPE_SCALING_TYPE_YARN, "yarn_orig_ctx": 64},
            {"llama_args": ("--rope-scaling", "yarn", "--yarn-orig-ctx", "64")},
        ),
        (
            {"kv_overrides": {"a": True, "b": 2, "c": 0.5, "d": "x"}},
            {"llama_args": tuple(part for pair in OVERRIDES for part in ("--override-kv", pair))},
        ),
        ({"n_parallel": 3, "cache_ram_mib": 0}, {"n_parallel": 3, "cache_ram_mib": 0}),
        ({"n_parts": -1, "f16_kv": True, "device": None}, {}),
    ],
    ids=str,
)
def test_argument_becomes_option(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = options(**given)
    assert {name: found[name] for name in expected} == expected
    xlc.EngineOptions.checked(model=TINY, **{name: value for name, value in found.items() if name != "lora"})


def test_zero_context_is_the_model_s() -> None:
    assert "n_ctx" not in options(n_ctx=0)
    with Llama(TINY, n_ctx=0, verbose=False, n_threads=1) as llama:
        assert llama.n_ctx() == llama.context_params.n_ctx == 1024


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vocab_only": True}, "vocab_only"),
        ({"chat_format": "functionary"}, "chat_template"),
        ({"draft_model": object()}, "LlamaPromptLookupDecoding"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_is_said(given: dict[str, Any], words: str) -> None:
    with pytest.raises(NotImplementedError, match=words):
        options(**given)
    with pytest.raises(ValueError, match="LLAMA_SPLIT_MODE_"):
        options(split_mode=9)
    with pytest.raises(NotImplementedError, match="save_session"):
        LlamaDiskCache()


def test_unknown_argument_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="'n_context'"):
        options(n_context=5)


def test_missing_file_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Model path does not exist"):
        Llama(str(tmp_path / "none.gguf"))


def test_facts_of_the_model(tiny: Llama) -> None:
    assert (tiny.n_vocab(), tiny.n_embd()) == (460, 48)
    assert tiny.metadata["general.architecture"] == "llama"
    assert not any(name.endswith("tokens") for name in tiny.metadata)
    assert (tiny.token_bos(), tiny.token_eos()) == (1, 2)
    assert tiny.detokenize([tiny.token_nl()]) == b"\n"
    with pytest.raises(AttributeError, match="create_completion reads the prompt"):
        tiny.eval([1])
    assert not hasattr(tiny, "nothing")
    assert [tiny.longest_token_prefix([1, 2, 3], other) for other in ([1, 2, 4], [1], [], [1, 2, 3])] == [2, 1, 0, 3]
    np.testing.assert_allclose(np.exp(tiny.logits_to_logprobs([0.0, 0.0])), [0.5, 0.5])


def test_tokens_and_bytes(tiny: Llama) -> None:
    tokens = tiny.tokenize(b"Hello World")
    assert tokens[0] == tiny.token_bos()
    assert tiny.detokenize(tokens) == b"Hello World"
    assert tiny.detokenize(tokens[1:]) == b" Hello World"
    assert b"".join(tiny.detokenize([token]) for token in tokens[1:]) == b" Hello World"
    assert tiny.tokenize(b"a</s>", special=True)[-1] == tiny.token_eos() != tiny.tokenize(b"a</s>")[-1]
    half = tiny.tokenize("é".encode(), add_bos=False)
    assert b"".join(tiny.detokenize([token]) for token in half) == " é".encode()
    tokenizer = tiny.tokenizer()
    assert tokenizer.decode(tokenizer.encode("Hello")) == "Hello"
    with pytest.raises(UnicodeDecodeError):
        tiny.tokenize(b"\xff")


class Letters(llama_cpp.BaseLlamaTokenizer):
    """The tokens of tiny's letters, one by one."""

    def __init__(self, llama: Llama) -> None:
        self._llama = llama

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        return self._llama.tokenize(text.upper(), add_bos, special)

    def detokenize(self, tokens: Any, prev_tokens: Any = None, special: bool = False) -> bytes:
        return self._llama.detokenize(tokens, prev_tokens, special)


def test_own_tokenizer_reads_prompts(tiny: Llama) -> None:
    with Llama(TINY, n_ctx=128, verbose=False, n_threads=1, tokenizer=Letters(tiny)) as llama:
        assert llama.tokenize(b"abc") == tiny.tokenize(b"ABC")
        assert llama("abc", max_tokens=1)["usage"]["prompt_tokens"] == len(tiny.tokenize(b"ABC"))


def test_vectors(embedder_path: Path) -> None:
    with Llama(str(embedder_path), embedding=True, verbose=False, n_threads=1) as llama:
        one, several = llama.embed("A cat"), llama.embed(["A cat", "A dog"])
        assert len(one) == llama.n_embd()
        np.testing.assert_allclose(one, several[0], atol=1e-2)
        unit, n_tokens = llama.embed("A cat", normalize=True, return_count=True)
        assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-3)
        assert n_tokens == len(llama.tokenize(b"A cat"))
        response = llama.create_embedding(["A cat", "A dog"], model="m")
        assert set(response) == {"object", "data", "model", "usage"}
        assert [entry["index"] for entry in response["data"]] == [0, 1]
        assert llama.pooling_type() == llama_cpp.LLAMA_POOLING_TYPE_MEAN
        with pytest.raises(ValueError, match="more than"):
            llama.embed("cat " * 1000, truncate=False)
        assert len(llama.embed("cat " * 1000)) == llama.n_embd()


def test_vectors_of_a_model_without_pooling_are_its_tokens(tiny: Llama) -> None:
    assert [len(row) for row in tiny.embed("abc")] == [48] * len(tiny.tokenize(b"abc"))


def test_caches_are_accepted(tiny: Llama) -> None:
    tiny.set_cache(LlamaRAMCache(capacity_bytes=1000))
    with pytest.warns(UserWarning, match="own cache"):
        tiny.set_cache(llama_cpp.BaseLlamaCache())
    tiny.set_cache(None)
    tiny.reset()


def test_pickle_loads_again() -> None:
    with Llama(TINY, n_ctx=128, n_threads=1, verbose=False, seed=4) as llama:
        copy = pickle.loads(pickle.dumps(llama))
    assert llama.closed
    with copy:
        assert copy.n_ctx() == 256
        assert copy("a", max_tokens=1)["choices"][0]["finish_reason"] == "length"


def test_template_is_a_handler(tiny: Llama) -> None:
    formatter = Jinja2ChatFormatter(
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}", "</s>", "<s>", stop_token_ids=[2]
    )
    chat = [{"role": "user", "content": "Hello"}]
    assert formatter(messages=chat).prompt == "<s>Hello"
    response = formatter.to_chat_handler()(llama=tiny, messages=chat, max_tokens=2)
    assert response["usage"]["prompt_tokens"] == len(tiny.tokenize(b"Hello"))
    assert response["object"] == "chat.completion"
    streamed = formatter.to_chat_handler()(llama=tiny, messages=chat, max_tokens=2, stream=True)
    assert next(streamed)["choices"][0]["delta"] == {"role": "assistant"}
    list(streamed)


def test_registered_format_answers() -> None:
    @llama_chat_format.register_chat_completion_handler("of-a-test")
    def handler(*, llama: Llama, messages: Any, **kwargs: Any) -> Any:
        return {"asked": messages, "temperature": kwargs["temperature"]}

    with Llama(TINY, n_ctx=128, n_threads=1, verbose=False, chat_format="of-a-test") as llama:
        assert llama.create_chat_completion([], temperature=0.5) == {"asked": [], "temperature": 0.5}  # type: ignore[comparison-overlap]
    with pytest.raises(ValueError, match="no chat format"):
        llama_chat_format.get_chat_completion_handler("other")
    with pytest.raises(AttributeError, match="chat_template"):
        llama_chat_format.format_alpaca  # noqa: B018


def test_openai_objects(tiny: Llama) -> None:
    openai = pytest.importorskip("openai")
    chat = [{"role": "user", "content": "Hello"}]
    whole = tiny.create_chat_completion_openai_v1(chat, max_tokens=1)
    assert isinstance(whole, openai.types.chat.ChatCompletion)
    chunks = list(tiny.create_chat_completion_openai_v1(chat, max_tokens=1, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"


def test_low_level_names() -> None:
    with pytest.raises(AttributeError, match="C interface"):
        llama_cpp.llama_decode  # noqa: B018
    with pytest.raises(AttributeError, match="Nothing"):
        llama_cpp.Nothing  # noqa: B018
    assert llama_cpp.ChatCompletionRequestUserMessage(role="user", content="x") == {"role": "user", "content": "x"}
    assert llama_cpp.llama_supports_mmap()
    assert isinstance(llama_cpp.llama_supports_gpu_offload(), bool)


def test_vocabulary_in_ctypes(tiny: Llama) -> None:
    vocab = llama_cpp.llama_model_get_vocab(tiny.model)
    assert llama_cpp.llama_vocab_n_tokens(vocab) == 460
    assert llama_cpp.llama_vocab_is_eog(vocab, llama_cpp.llama_vocab_eos(vocab))
    buffer = ctypes.create_string_buffer(8)
    (letter,) = (token for token in tiny.tokenize(b"z", add_bos=False) if tiny.detokenize([token]) == b"z")
    assert llama_cpp.llama_token_to_piece(vocab, letter, buffer, 8, 0, True) == 1
    assert buffer.raw[:1] == b"z"
    assert llama_cpp.llama_token_to_piece(vocab, llama_cpp.llama_vocab_bos(vocab), buffer, 2, 0, True) == -3
    assert llama_cpp.llama_token_get_attr(vocab, 2) == llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
    with pytest.raises(ValueError, match="not the vocabulary"):
        llama_cpp.llama_vocab_eos(10**9)


def test_log_goes_to_a_function() -> None:
    lines: list[tuple[int, bytes]] = []

    @llama_cpp.llama_log_callback
    def keep(level: int, text: bytes, user_data: Any) -> None:
        lines.append((level, text))

    llama_cpp.llama_log_set(keep, None)
    try:
        logging.getLogger("xllama").warning("wind and rain")
    finally:
        llama_cpp.llama_log_set(None)
    logging.getLogger("xllama").warning("sun")
    assert lines == [(2, b"wind and rain\n")]


INSTALLED = """
import sys
from xlc_core.compat import llama_cpp
llama_cpp.install(); llama_cpp.install()
import importlib.util
import llama_cpp as seen
import llama_cpp.llama_cpp as low
from llama_cpp import LLAMA_POOLING_TYPE_MEAN, Llama, LlamaGrammar
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from llama_cpp.llama_types import ChatCompletionMessage
assert seen is llama_cpp and low.LLAMA_POOLING_TYPE_MEAN == LLAMA_POOLING_TYPE_MEAN == 1
assert importlib.util.find_spec("llama_cpp") is not None
"""


def test_install_takes_the_place() -> None:
    subprocess.run([sys.executable, "-c", INSTALLED], check=True, timeout=60)
    late = (
        "import sys, types; sys.modules['llama_cpp'] = types.ModuleType('llama_cpp'); import xlc_core.compat.llama_cpp"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{late} as c\nc.install()"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "llama_cpp was imported already" in done.stderr


def test_program_runs_with_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys, llama_cpp\nprint(llama_cpp.__name__, sys.argv[1:])\n")
    command = [sys.executable, "-m", "xlc_core.compat.llama_cpp"]
    done = subprocess.run(
        [*command, "program", "--flag"], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True
    )
    assert done.stdout == "xlc_core.compat.llama_cpp ['--flag']\n"
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        huggingface_hub.close_session()


def test_model_from_a_hub(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["someone/Tiny-GGUF"] = {"tiny-F32.gguf": Path(TINY).read_bytes(), "tiny-Q8_0.gguf": b"", "README.md": b""}
    how: dict[str, Any] = {"cache_dir": tmp_path / "cache", "n_ctx": 128, "n_threads": 1, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Llama.from_pretrained("someone/Tiny-GGUF", "*F32.gguf", **how) as llama:
            assert llama.n_vocab() == 460
    for pattern, words in (("*.gguf", "Multiple files"), ("*Q4*", "No file")):
        with pytest.raises(ValueError, match=words):
            Llama.from_pretrained("someone/Tiny-GGUF", pattern, **how)


def test_number_of_gpu_layers_beside_flags() -> None:
    """langchain-community passes all of these."""
    rope = {"rope_freq_base": 10000.0, "rope_freq_scale": 1.0}
    with Llama(TINY, n_ctx=128, n_batch=8, n_threads=1, verbose=False, **rope) as llama:
        assert llama.engine.options.n_gpu_layers == 0
        assert llama("a", max_tokens=1)["usage"]["completion_tokens"] == 1
