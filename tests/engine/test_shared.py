"""One engine for all that ask for the same: counted, opened once, and closed by the last."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import xlc_core as xlc
from helpers.waiting import wait_until
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
    assert wait_until(lambda: opened[0].closed)


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


def dropped(keep_alive: float, model: str = "m") -> None:
    """Lease an engine and drop the lease without releasing it."""
    lease = xlc.acquire_engine(model)
    lease.keep_alive = keep_alive
    assert not lease.engine.closed


def test_engine_of_dropped_lease_is_leased_again(opened: list[FakeEngine]) -> None:
    for _ in range(5):
        dropped(keep_alive=60)
    assert len(opened) == 1
    with xlc.acquire_engine("m") as lease:
        assert lease.engine is opened[0]
    assert opened[0].closed, "who releases a lease gives the memory back at once"


def test_engine_of_dropped_lease_closes_afterwards(opened: list[FakeEngine]) -> None:
    dropped(keep_alive=0.05)
    assert wait_until(lambda: opened[0].closed)
    assert shared._registry == {}
    dropped(keep_alive=0.05)
    assert len(opened) == 2
    assert wait_until(lambda: opened[1].closed)


def test_time_begins_again_with_each_dropped_lease(opened: list[FakeEngine]) -> None:
    dropped(keep_alive=0.05)
    dropped(keep_alive=600)
    assert wait_until(lambda: not any(one.is_watched and one.idle_until == 0 for one in shared._registry.values()))
    assert not opened[0].closed
    shared.close_idle_engine("m")
    assert opened[0].closed


def test_engine_may_stay_for_ever(opened: list[FakeEngine]) -> None:
    dropped(keep_alive=-1)
    assert wait_until(lambda: all(one.n_leases == 0 for one in shared._registry.values()))
    assert not opened[0].closed
    assert not any(one.is_watched for one in shared._registry.values())


def test_idle_engine_is_closed_at_once_but_not_a_used_one(opened: list[FakeEngine]) -> None:
    dropped(keep_alive=60)
    assert wait_until(lambda: all(one.n_leases == 0 for one in shared._registry.values()))
    shared.close_idle_engine("m")
    assert opened[0].closed
    with xlc.acquire_engine("m") as lease:
        shared.close_idle_engine("m")
        shared.close_idle_engine("never opened")
        assert not lease.engine.closed


def test_idle_engines_make_room_for_others(opened: list[FakeEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(FakeEngine):
        def __init__(self, options: xlc.EngineOptions, *, progress: Any = None) -> None:
            if not all(engine.closed for engine in self.opened):
                raise xlc.InsufficientMemoryError("too large beside another")
            super().__init__(options, progress=progress)

    dropped(keep_alive=60)
    assert wait_until(lambda: all(one.n_leases == 0 for one in shared._registry.values()))
    monkeypatch.setattr(shared, "Engine", Large)
    with xlc.acquire_engine("large") as lease:
        assert opened[0].closed
        with pytest.raises(xlc.InsufficientMemoryError):
            xlc.acquire_engine("also large")
        assert not lease.engine.closed


def test_lease_that_outlives_its_module_ends_without_complaint() -> None:
    """Python clears modules in turn at its end. A lease that an older module holds is dropped when ours are gone."""
    code = (
        "import json\n"
        "from xlc_core.engine import shared\n"
        "lease = shared.EngineLease.__new__(shared.EngineLease)\n"
        "lease._options, lease._shared, lease.keep_alive = None, object(), 0.0\n"
        "json.lease = lease\n"
        "del lease, shared"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
