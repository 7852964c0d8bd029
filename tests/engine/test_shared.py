"""One engine for all that ask for the same: counted, opened once, and closed by the last."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.engine import shared


class FakeEngine:
    """Opens slowly and counts itself."""

    opened: list[FakeEngine]
    failure: Exception | None

    def __init__(self, options: xlc.EngineOptions, *, progress: Any = None) -> None:
        self.options = options
        time.sleep(0.02)
        if self.failure:
            raise self.failure
        self.closed = False
        self.opened.append(self)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    FakeEngine.opened = []
    FakeEngine.failure = None
    monkeypatch.setattr(shared, "Engine", FakeEngine)
    monkeypatch.setattr(shared, "_registry", {})
    return FakeEngine.opened


def test_same_options_share_one_engine(opened: list[FakeEngine]) -> None:
    first = xlc.acquire_engine("m", n_ctx=512)
    second = xlc.acquire_engine(xlc.EngineOptions(model="m", n_ctx=512))
    assert first.engine is second.engine
    assert len(opened) == 1
    first.release()
    assert not opened[0].closed
    second.release()
    assert opened[0].closed


def test_other_options_get_another_engine(opened: list[FakeEngine]) -> None:
    with xlc.acquire_engine("m", n_ctx=512) as _, xlc.acquire_engine("m", n_ctx=1024) as _:
        assert len(opened) == 2
    assert [engine.closed for engine in opened] == [True, True]


def test_releasing_twice_counts_once(opened: list[FakeEngine]) -> None:
    first, second = xlc.acquire_engine("m"), xlc.acquire_engine("m")
    first.release()
    first.release()
    assert not opened[0].closed
    second.release()
    assert opened[0].closed


def test_dropped_lease_is_released(opened: list[FakeEngine]) -> None:
    xlc.acquire_engine("m")
    assert opened[0].closed


def test_after_the_last_release_a_new_engine_is_opened(opened: list[FakeEngine]) -> None:
    xlc.acquire_engine("m").release()
    with xlc.acquire_engine("m") as lease:
        assert not lease.engine.closed
    assert len(opened) == 2


def test_closed_engine_is_opened_again(opened: list[FakeEngine]) -> None:
    first = xlc.acquire_engine("m")
    first.engine.close()
    second = xlc.acquire_engine("m")
    assert not second.engine.closed
    assert len(opened) == 2
    first.release()
    assert not second.engine.closed
    second.release()
    assert opened[1].closed


def test_failure_is_not_kept(opened: list[FakeEngine]) -> None:
    FakeEngine.failure = xlc.ModelLoadError("broken")
    with pytest.raises(xlc.ModelLoadError, match="broken"):
        xlc.acquire_engine("m")
    FakeEngine.failure = None
    with xlc.acquire_engine("m") as lease:
        assert not lease.engine.closed
    assert len(opened) == 1


def test_unknown_options_are_refused() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="did you mean 'n_ctx'"):
        xlc.acquire_engine("m", nctx=512)  # type: ignore[call-arg]


def test_threads_that_race_open_one_engine(opened: list[FakeEngine]) -> None:
    leases: list[xlc.EngineLease] = []
    barrier = threading.Barrier(8)

    def acquire() -> None:
        barrier.wait()
        leases.append(xlc.acquire_engine("m"))

    threads = [threading.Thread(target=acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len({id(lease.engine) for lease in leases}) == 1
    for lease in leases:
        lease.release()
    assert opened[0].closed


def test_lease_never_holds_a_closed_engine_however_threads_race(opened: list[FakeEngine]) -> None:
    closed = []

    def use() -> None:
        for _ in range(5):
            with xlc.acquire_engine("m") as lease:
                closed.append(lease.engine.closed)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert closed == [False] * 30
    assert all(engine.closed for engine in opened)


def test_other_models_are_not_held_up_by_one_that_opens(
    opened: list[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()

    class Slow(FakeEngine):
        def __init__(self, options: xlc.EngineOptions, *, progress: Any = None) -> None:
            if options.model == "slow":
                started.set()
                assert go_on.wait(10)
            super().__init__(options, progress=progress)

    monkeypatch.setattr(shared, "Engine", Slow)
    thread = threading.Thread(target=lambda: xlc.acquire_engine("slow").release())
    thread.start()
    assert started.wait(5)
    with xlc.acquire_engine("quick") as lease:
        assert lease.engine.options.model == "quick"
    go_on.set()
    thread.join()
    assert len(opened) == 2


def test_real_engine_is_shared_and_closed() -> None:
    with xlc.acquire_engine("all-minilm-l6-v2") as first, xlc.acquire_engine("all-minilm-l6-v2") as second:
        assert first.engine is second.engine
        assert first.engine.embed(["a"]).shape == (1, 384)
    assert first.engine.closed
