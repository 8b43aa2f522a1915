"""Two processes that would drive one run: the second finds what the first has done."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_runs import job_of

from cloudtune import api
from cloudtune.driver import process
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore


def test_a_run_that_ends_while_its_lock_is_asked_for_is_not_driven_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.prepare(job_of(tmp_path), "local", project=tmp_path, base=tmp_path)
    locked = RunStore.locked

    @contextlib.contextmanager
    def asked(store: RunStore) -> Iterator[None]:
        store.write(columns={"state": RunState.COMPLETED.value})  # by the other one, which then lets the lock go
        with locked(store):
            yield

    monkeypatch.setattr(RunStore, "locked", asked)
    monkeypatch.setattr(process, "_run_driver", lambda *_: pytest.fail("it has ended"))
    assert run.wait() is RunState.COMPLETED
