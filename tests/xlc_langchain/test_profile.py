"""A model's LangChain profile before and after it is loaded."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama

if TYPE_CHECKING:
    from pathlib import Path

    from xlc_core import Engine


def test_file_tells_without_being_loaded(smollm2_path: Path) -> None:
    llm = ChatXLlama(model=smollm2_path, n_ctx=2048, engine_options={"n_parallel": 2})
    assert llm._opened_engine(None) is None
    assert llm.profile is not None
    assert llm.profile["max_input_tokens"] == 2048
    able = ("tool_calling", "tool_choice", "structured_output", "text_inputs")
    unable = ("reasoning_output", "image_inputs", "audio_inputs")
    assert all(llm.profile[name] for name in able)
    assert not any(llm.profile[name] for name in unable)


@pytest.mark.parametrize("audio", [True, False])
def test_projector_decides_readable_media(tmp_path: Path, audio: bool) -> None:
    model = write_byte_llama(tmp_path / "model.gguf")
    write_mmproj(tmp_path / "mmproj.gguf", audio=audio)
    options = {"mmproj": "auto", "n_parallel": 1, "warmup": False, "allow_remote_media": audio}
    llm = ChatXLlama(model=model, n_ctx=256, engine_options=options)
    guess = llm.profile
    assert guess is not None
    assert (guess["image_inputs"], guess["image_tool_message"]) == (True, True)
    assert (guess["audio_inputs"], guess["image_url_inputs"]) == (audio, audio)
    with llm:
        assert llm.profile == guess


def test_loading_makes_it_exact(smollm2_path: Path) -> None:
    llm = ChatXLlama(model=smollm2_path, n_ctx=1000, engine_options={"n_parallel": 1, "warmup": False})
    guess = llm.profile
    assert guess is not None
    with llm:
        assert llm.profile is not None
        assert llm.profile == guess
        assert llm.profile["max_input_tokens"] == llm._get_engine().info.n_ctx == 1024


def test_open_engine_is_asked(engine: Engine) -> None:
    profile = ChatXLlama(engine=engine).profile
    assert profile is not None
    assert profile["max_input_tokens"] == engine.info.n_ctx == 2048


def test_missing_model_has_no_facts() -> None:
    assert ChatXLlama(model="hf:nobody/nothing-GGUF:Q8_0").profile is None


def test_profile_that_is_set_later_stays(smollm2_path: Path) -> None:
    llm = ChatXLlama(model=smollm2_path, n_ctx=256, engine_options={"warmup": False})
    llm.profile = {"max_input_tokens": 7}
    with llm:
        assert llm.profile == {"max_input_tokens": 7}


def test_threads_see_guess_and_then_one_exact_profile(smollm2_path: Path) -> None:
    llm = ChatXLlama(model=smollm2_path, n_ctx=1000, engine_options={"n_parallel": 1, "warmup": False})
    guess = llm.profile

    def load(_: int) -> tuple[int, int]:
        llm.load()
        return id(llm.profile), id(llm.profile)

    with llm, ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(load, range(32)))
        assert seen == {(id(llm.profile), id(llm.profile))}
        assert llm.profile is not guess


def test_given_profile_stays(smollm2_path: Path) -> None:
    llm = ChatXLlama(model=smollm2_path, profile={"max_input_tokens": 7}, engine_options={"warmup": False})
    with llm:
        assert llm.profile == {"max_input_tokens": 7}


def test_pickle_has_it_too(engine: Engine) -> None:
    llm = ChatXLlama(engine=engine)
    assert pickle.loads(pickle.dumps(llm)).profile == llm.profile


@pytest.mark.parametrize("thinks", [True, False])
def test_thinking_comes_from_template(smollm2_path: Path, thinks: bool) -> None:
    template = "{{ '<think>' }}" if thinks else "{{ messages }}"
    profile = ChatXLlama(model=smollm2_path, engine_options={"chat_template": template}).profile
    assert profile is not None
    assert profile["reasoning_output"] is thinks


def test_it_is_excluded_from_configuration() -> None:
    assert "profile" not in ChatXLlama(engine=ScriptedEngine(["ok"])).asdict()
