"""A pool of engines: opened by name when needed, within a budget of memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.waiting import await_until, wait_until
from xlc_core.engine import pool as pool_module

SMALL: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three models of the same size."""
    folder = tmp_path_factory.mktemp("models")
    return {name: write_byte_llama(folder / f"{name}.gguf", seed=seed) for seed, name in enumerate("abc")}


@pytest.fixture
def one(models: dict[str, Path]) -> int:
    """The bytes that one of them takes."""
    return xlc.Engine.estimate(models["a"], **SMALL).total


class Openings:
    """Lets models open one by one, and counts them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.may_open = threading.Event()
        self.may_open.set()
        self.failure: Exception | None = None


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Openings:
    seen, acquire = Openings(), pool_module.acquire_engine

    def watched(options: xlc.EngineOptions, **kwargs: Any) -> xlc.EngineLease:
        seen.names.append(Path(str(options.model)).stem)
        seen.may_open.wait()
        if seen.failure is not None:
            raise seen.failure
        return acquire(options, **kwargs)

    monkeypatch.setattr(pool_module, "acquire_engine", watched)
    return seen


def is_open(pool: xlc.EnginePool, *names: str) -> bool:
    return all(pool.opened(name) is not None for name in names)


def test_model_opens_with_the_first_lease_and_stays_open(models: dict[str, Path]) -> None:
    with xlc.EnginePool(models, **SMALL) as pool:
        assert pool.default == "a"
        assert pool.opened("a") is None
        with pool.acquire("a") as lease:
            engine = lease.engine
            assert engine.complete("abc", max_tokens=2).usage.completion_tokens == 2
        assert pool.opened("a") is engine
        with pool.acquire("a") as lease:
            assert lease.engine is engine
    assert engine.closed


def test_least_recently_used_closes_for_another(models: dict[str, Path], one: int) -> None:
    with xlc.EnginePool(models, memory=one * 5 // 2, **SMALL) as pool:
        for name in "aba":
            pool.acquire(name).release()
        assert is_open(pool, "a", "b")
        pool.acquire("c").release()
        assert is_open(pool, "a", "c")
        assert not is_open(pool, "b")


def test_engine_in_use_is_not_closed_for_another(models: dict[str, Path], one: int) -> None:
    with xlc.EnginePool(models, memory=one * 3 // 2, room_timeout=0.05, **SMALL) as pool:
        with pool.acquire("a") as lease:
            with pytest.raises(xlc.InsufficientMemoryError, match="did not leave room for it within"):
                pool.acquire("b")
            assert not lease.engine.closed
            pool.acquire("a").release()  # it takes requests again
        pool.acquire("b").release()
        assert not is_open(pool, "a")


def test_model_waits_until_another_is_idle_and_goes_before_its_next_requests(
    models: dict[str, Path], one: int, openings: Openings
) -> None:
    with xlc.EnginePool(models, memory=one * 3 // 2, room_timeout=600, **SMALL) as pool:
        first = pool.acquire("a")
        leases: list[xlc.PoolLease] = []
        waiting = [threading.Thread(target=lambda name=name: leases.append(pool.acquire(name))) for name in "ba"]
        waiting[0].start()
        assert wait_until(lambda: any(opened.is_leaving for opened in pool._room.engines.values()))
        waiting[1].start()
        first.release()
        waiting[0].join()
        assert openings.names == ["a", "b"]
        assert not is_open(pool, "a")
        leases[0].release()
        waiting[1].join()
        assert openings.names == ["a", "b", "a"]
        leases[1].release()


def test_model_larger_than_the_budget_is_refused_at_once(models: dict[str, Path], one: int) -> None:
    with (
        xlc.EnginePool(models, memory=one // 2, **SMALL) as pool,
        pytest.raises(xlc.InsufficientMemoryError, match="the pool may take"),
    ):
        pool.acquire("a")


def test_requests_that_come_together_open_once(models: dict[str, Path], openings: Openings) -> None:
    with xlc.EnginePool(models, **SMALL) as pool:
        openings.may_open.clear()
        leases: list[xlc.PoolLease] = []
        threads = [threading.Thread(target=lambda: leases.append(pool.acquire("a"))) for _ in range(6)]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: openings.names)
        openings.may_open.set()
        for thread in threads:
            thread.join()
        assert openings.names == ["a"]
        assert len({id(lease.engine) for lease in leases}) == 1
        for lease in leases:
            lease.release()


def test_failure_to_open_is_of_those_who_wait_only(models: dict[str, Path], openings: Openings) -> None:
    with xlc.EnginePool(models, **SMALL) as pool:
        with pool.acquire("b") as other:
            openings.failure = xlc.ModelLoadError("broken")
            with pytest.raises(xlc.ModelLoadError, match="broken"):
                pool.acquire("a")
            assert not other.engine.closed
        openings.failure = None
        with pool.acquire("a") as lease:
            assert not lease.engine.closed


def test_missing_file_is_an_error_of_its_request(tmp_path: Path) -> None:
    with xlc.EnginePool({"gone": tmp_path / "gone.gguf"}) as pool, pytest.raises(xlc.ModelNotFoundError):
        pool.acquire("gone")


def test_idle_engine_closes_after_keep_alive(models: dict[str, Path]) -> None:
    with xlc.EnginePool(models, keep_alive=0, **SMALL) as pool:
        with pool.acquire("a") as first:
            with pool.acquire("a"):
                pass
            assert not first.engine.closed
        assert wait_until(lambda: first.engine.closed)
        assert wait_until(lambda: pool._watcher is None), "its thread ends with the last idle engine"
        with pool.acquire("a") as again:
            assert not again.engine.closed


def test_engine_that_is_used_again_keeps_its_time(models: dict[str, Path]) -> None:
    with xlc.EnginePool(models, keep_alive="1h", **SMALL) as pool:
        pool.acquire("a").release()
        pool.acquire("b").release()
        pool.acquire("a").release()
        assert is_open(pool, "a", "b")
    assert wait_until(lambda: pool._watcher is None), "closing wakes its thread"


def test_dropped_lease_is_given_back(models: dict[str, Path]) -> None:
    with xlc.EnginePool(models, keep_alive=0, **SMALL) as pool:
        engine = pool.acquire("a").engine
        gc.collect()
        assert wait_until(lambda: engine.closed)


def test_engine_that_somebody_closed_opens_again(models: dict[str, Path]) -> None:
    with xlc.EnginePool(models, **SMALL) as pool:
        with pool.acquire("a") as lease:
            lease.engine.close()
        with pool.acquire("a") as again:
            assert again.engine is not lease.engine
            assert not again.engine.closed


def test_engine_is_shared_with_other_callers_of_the_process(models: dict[str, Path]) -> None:
    with xlc.acquire_engine(models["a"], **SMALL) as own, xlc.EnginePool(models, **SMALL) as pool:
        with pool.acquire("a") as lease:
            assert lease.engine is own.engine
        pool.close()
        assert not own.engine.closed
    assert own.engine.closed


def test_closed_pool_opens_nothing_and_lets_users_finish(models: dict[str, Path]) -> None:
    pool = xlc.EnginePool(models, **SMALL)
    with pool.acquire("a") as lease:
        pool.close()
        assert lease.engine.complete("abc", max_tokens=2).usage.completion_tokens == 2
        with pytest.raises(xlc.EngineClosedError, match="pool of engines is closed"):
            pool.acquire("a")
    assert wait_until(lambda: lease.engine.closed)


async def test_event_loop_runs_while_a_model_opens(models: dict[str, Path], openings: Openings) -> None:
    with xlc.EnginePool(models, **SMALL) as pool:
        openings.may_open.clear()
        tasks = [asyncio.ensure_future(pool.aacquire("a")) for _ in range(3)]
        assert await await_until(lambda: openings.names)  # the loop runs, though the model cannot open
        tasks[0].cancel()
        openings.may_open.set()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        leases = await asyncio.gather(*tasks[1:])
        assert openings.names == ["a"]
        assert leases[0].engine is leases[1].engine
        for lease in leases:
            with lease:
                assert (await lease.engine.acomplete("abc", max_tokens=2)).usage.completion_tokens == 2
        assert next(iter(pool._room.engines.values())).n_users == 0


async def test_async_lease_waits_for_room(models: dict[str, Path], one: int) -> None:
    with xlc.EnginePool(models, memory=one * 3 // 2, room_timeout=600, **SMALL) as pool:
        first = await pool.aacquire("a")
        second = asyncio.ensure_future(pool.aacquire("b"))
        assert await await_until(lambda: any(opened.is_leaving for opened in pool._room.engines.values()))
        again = asyncio.ensure_future(pool.aacquire("a"))
        first.release()
        (await second).release()
        (await again).release()


async def test_async_failure_reaches_all_who_wait(models: dict[str, Path], openings: Openings) -> None:
    with xlc.EnginePool(models, **SMALL) as pool:
        openings.failure = xlc.ModelLoadError("broken")
        results = await asyncio.gather(*(pool.aacquire("a") for _ in range(3)), return_exceptions=True)
        assert {type(result) for result in results} == {xlc.ModelLoadError}


def test_names_of_a_file(tmp_path: Path, models: dict[str, Path]) -> None:
    (tmp_path / "here.gguf").write_bytes(models["a"].read_bytes())
    file = tmp_path / "models.toml"
    file.write_text(
        f'[chat]\nmodel = "./here.gguf"\nn_ctx = 256\n\n[other]\nmodel = {str(models["b"])!r}\n', encoding="utf-8"
    )
    with xlc.EnginePool(file, n_parallel=3, others="none") as pool:
        assert pool.names() == ("chat", "other")
        assert pool.options("chat").n_ctx == 256
        assert pool.options("other") == xlc.EngineOptions(model=str(models["b"]), n_parallel=3)
        with pool.acquire("chat") as lease:
            assert lease.engine.info.n_ctx == 256


def test_others_say_what_else_may_be_opened(models: dict[str, Path]) -> None:
    path = str(models["a"])
    assert xlc.EnginePool(others="any").options(path).model == path
    local = xlc.EnginePool({"mine": path}, others="local")
    assert local.names()[0] == "mine"
    assert "smollm2-135m-instruct" in local.names()
    assert local.options("smollm2-135m-instruct").model == "smollm2-135m-instruct"
    for name in (path, "hf:owner/repo", "qwen3-4b-not-there"):
        with pytest.raises(xlc.ModelNotFoundError):
            local.options(name)
    with pytest.raises(xlc.ModelNotFoundError, match="did you mean 'mine'"):
        xlc.EnginePool({"mine": path}, others="none").options("mime")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: xlc.EnginePool({"a": {"nctx": 5}}), "model 'a': .*did you mean 'n_ctx'"),
        (lambda folder: xlc.EnginePool(n_ctx=-5), "n_ctx"),
        (lambda folder: xlc.EnginePool(keep_alive="soon"), "keep_alive"),
        (lambda folder: xlc.EnginePool(others="all"), "others must be"),
        (lambda folder: xlc.EnginePool(folder / "gone.toml"), "cannot be read"),
    ],
)
def test_wrong_options_are_refused_at_once(make: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=message):
        make(tmp_path)
