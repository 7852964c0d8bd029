"""How adapters find their engine: lazily, shared, and given back."""

from __future__ import annotations

import gc
import math
import pickle
import subprocess
import sys
import weakref
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import ConfigurableField

from helpers.waiting import wait_until
from xlc_core.engine import shared
from xlc_core.errors import ModelNotFoundError
from xlc_core.frameworks import engine_adapter
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama, XLlamaEmbeddings, XLlamaReranker, errors

if TYPE_CHECKING:
    from pathlib import Path


class FakeLease:
    def __init__(self, leases: list[FakeLease], model: str, options: dict[str, Any]) -> None:
        self.engine = ScriptedEngine([f"I am {model}."])
        self.asked = (model, options)
        self.released = False
        leases.append(self)

    def release(self) -> None:
        self.released = True

    def __del__(self) -> None:
        self.release()


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> list[FakeLease]:
    made: list[FakeLease] = []
    monkeypatch.setattr(engine_adapter, "acquire_engine", lambda model, **options: FakeLease(made, model, options))
    return made


def test_model_is_leased_on_first_use_only(leases: list[FakeLease]) -> None:
    llm = ChatXLlama(model="a.gguf", n_ctx=512, engine_options={"n_parallel": 2})
    assert leases == []
    assert llm.invoke("Hi").text == llm.invoke("Hi").text == "I am a.gguf."
    assert [lease.asked for lease in leases] == [("a.gguf", {"n_ctx": 512, "n_parallel": 2})]


async def test_async_calls_lease_once_too(leases: list[FakeLease]) -> None:
    llm = ChatXLlama(model="a.gguf")
    assert [answer.text for answer in await llm.abatch(["Hi"] * 5)] == ["I am a.gguf."] * 5
    assert len(leases) == 1


def test_close_gives_model_back_and_use_leases_it_again(leases: list[FakeLease]) -> None:
    with ChatXLlama(model="a.gguf") as llm:
        assert len(leases) == 1
        assert not leases[0].released
    assert leases[0].released
    llm.invoke("Hi")
    assert [lease.released for lease in leases] == [True, False]


def test_garbage_collector_gives_it_back(leases: list[FakeLease]) -> None:
    llm = ChatXLlama(model="a.gguf").load()
    lease = weakref.ref(leases.pop())
    gc.collect()
    assert lease() is not None
    del llm
    gc.collect()
    assert lease() is None


def test_one_call_may_ask_for_another_model(leases: list[FakeLease]) -> None:
    llm = ChatXLlama(model="a.gguf")
    assert llm.invoke("Hi", model="b.gguf").text == "I am b.gguf."
    assert llm.invoke("Hi").text == "I am a.gguf."
    llm.close()
    assert all(lease.released for lease in leases)


def test_changed_copy_uses_its_own_model(leases: list[FakeLease]) -> None:
    llm = ChatXLlama(model="a.gguf").load()
    assert llm.model_copy(update={"model": "b.gguf"}).invoke("Hi").text == "I am b.gguf."


def test_pickle_leases_for_itself(leases: list[FakeLease]) -> None:
    llm = ChatXLlama(model="a.gguf").load()
    assert pickle.loads(pickle.dumps(llm)).invoke("Hi").text == "I am a.gguf."
    assert len(leases) == 2


def test_environment_names_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLLAMA_MODEL", "env.gguf")
    assert ChatXLlama().model == "env.gguf"


@pytest.mark.parametrize("adapter", [ChatXLlama, XLlamaEmbeddings, XLlamaReranker])
def test_model_is_needed(adapter: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLLAMA_MODEL", raising=False)
    with pytest.raises(ValueError, match="xllama models list"):
        adapter()


@pytest.mark.parametrize("adapter", [ChatXLlama, XLlamaEmbeddings, XLlamaReranker])
def test_names_are_checked(adapter: type[Any]) -> None:
    with pytest.warns(UserWarning, match="ignores the unknown argument 'modle'.*'model'"):
        adapter(modle="b.gguf", model="a.gguf")
    with pytest.raises(ValueError, match="did you mean 'n_parallel'"):
        adapter(model="a.gguf", engine_options={"n_paralel": 2})
    adapter(model="a.gguf", api_key="x", max_retries=2, base_url="y")


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("num_predict", 64, "use max_tokens=64"),
        ("num_ctx", 4096, "use n_ctx=4096"),
        ("num_gpu", -1, "use engine_options={'n_gpu_layers': 'all'}"),
        ("n_gpu_layers", 9, "use engine_options={'n_gpu_layers': 9}"),
    ],
)
def test_names_of_other_adapters_are_translated(name: str, value: Any, hint: str) -> None:
    with pytest.warns(UserWarning, match="ignores the unknown argument") as caught:
        ChatXLlama(model="a.gguf", **{name: value})
    assert str(caught[0].message) == f"ChatXLlama ignores the unknown argument {name!r}; {hint}"


def test_path_is_taken_as_model(tmp_path: Path) -> None:
    assert ChatXLlama(model=tmp_path / "a.gguf").model == str(tmp_path / "a.gguf")


def test_missing_model_is_langchain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(model: str, **options: Any) -> None:
        raise ModelNotFoundError(f"no {model}")

    monkeypatch.setattr(engine_adapter, "acquire_engine", acquire)
    for adapter in (ChatXLlama, XLlamaEmbeddings, XLlamaReranker):
        with pytest.raises(errors.ModelNotFoundError, match=r"no a\.gguf"):
            adapter(model="a.gguf").load()


def test_without_langchain_extra_is_named() -> None:
    program = "import sys; sys.modules['langchain_core'] = None; import xlc_langchain"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install 'xllama[langchain]'" in result.stderr


class CountedEngine(ScriptedEngine):
    """Counts how often a model is loaded."""

    n_loaded = 0

    def __init__(self, options: Any, *, progress: Any = None) -> None:
        super().__init__(["Hello"])
        type(self).n_loaded += 1


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CountedEngine]]:
    monkeypatch.setattr(shared, "Engine", CountedEngine)
    monkeypatch.setattr(shared, "_registry", {})
    CountedEngine.n_loaded = 0
    yield CountedEngine
    for one in shared._registry.values():
        one.idle_until = 0


def test_other_settings_for_a_call_do_not_load_model_again(loads: type[CountedEngine]) -> None:
    model = ChatXLlama(model="a.gguf")
    field = ConfigurableField(id="temperature")
    configurable = model.configurable_fields(temperature=field)
    for number in range(5):
        configurable.invoke("Hi", config={"configurable": {"temperature": number / 10}})
        configurable.with_config(configurable={"temperature": 0.5}).invoke("Hi")
        model.bind(temperature=0.3).invoke("Hi")
        model.model_copy(update={"temperature": 0.4}).invoke("Hi")
        ChatXLlama(model="a.gguf", temperature=0.6).invoke("Hi")
        gc.collect()
    assert loads.n_loaded == 1


def test_close_unloads_model_that_dropped_adapters_left(loads: type[CountedEngine]) -> None:
    model = ChatXLlama(model="a.gguf")
    ChatXLlama(model="a.gguf").invoke("Hi")
    gc.collect()
    assert wait_until(lambda: all(one.n_leases == 0 for one in shared._registry.values()))
    assert len(shared._registry) == 1
    model.close()
    assert shared._registry == {}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        *((0, 0), (30, 30), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("-1", -1), (-5, -1), ("2.5", 2.5)),
        *((timedelta(minutes=1), 60), (math.inf, -1)),
    ],
)
def test_keep_alive_has_forms_of_ollama(given: Any, seconds: float) -> None:
    assert ChatXLlama(model="a.gguf", keep_alive=given).keep_alive == seconds


@pytest.mark.parametrize("given", ["soon", "5 parsecs", "", math.nan, "m"])
def test_other_keep_alive_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="keep_alive"):
        ChatXLlama(model="a.gguf", keep_alive=given)
