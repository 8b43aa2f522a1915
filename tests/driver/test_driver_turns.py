"""Two processes that would drive one run: the second finds what the first has done."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_runs import job_of

from cloudtune import api
from cloudtune.driver import process
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore
from cloudtune.system.locks import open_lock, try_lock


def test_a_run_that_ends_while_its_lock_is_asked_for_is_not_driven_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.prepare(job_of(tmp_path), "local", project=tmp_path, base=tmp_path)
    locked = RunStore.locked

    @contextlib.contextmanager
    def asked(store: RunStore, **_: bool) -> Iterator[None]:
        store.write(columns={"state": RunState.COMPLETED.value})  # by the other one, which then lets the lock go
        with locked(store):
            yield

    monkeypatch.setattr(RunStore, "locked", asked)
    monkeypatch.setattr(process, "_run_driver", lambda *_: pytest.fail("it has ended"))
    assert run.wait() is RunState.COMPLETED


@pytest.mark.parametrize("asks", ["resume", "cancel"])
def test_a_killed_driver_has_a_moment_to_let_its_lock_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    run = api.prepare(job_of(tmp_path), "local", project=tmp_path, base=tmp_path)
    held = [open_lock(run._store.lock)]  # by the killed driver
    assert try_lock(held[0])

    def dies(seconds: float) -> None:
        if held and seconds >= 0.05:
            os.close(held.pop())

    monkeypatch.setattr("time.sleep", dies)
    monkeypatch.setattr(process, "_run_driver", lambda *_: RunState.INTERRUPTED)
    if asks == "resume":
        assert run.wait() is RunState.INTERRUPTED, "it was driven, not watched"
    else:
        run.cancel()
        assert run.record.state is RunState.CANCELLED
