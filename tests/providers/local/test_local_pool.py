"""The pool of workers: what a stop may meet, and what a function may do to its worker."""

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from cloudtune import TuningJob, api
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.provider.interface import load_provider
from cloudtune.store.records import Report, Trial
from cloudtune.store.store import Store


def pool_of(function: Any, project: Path) -> Any:
    job = TuningJob.from_data(
        {
            "name": "pool",
            "trial": {"function": "module:name"},
            "objective": {"metric": "m", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 9},
            "local": {"isolate": False},
        }
    )
    run = api.prepare(job, "local", project=project, native={"pickle": "function.pkl"})
    (run.folder / "function.pkl").write_bytes(cloudpickle.dumps(function))
    provider: Any = load_provider("local")({})
    return provider.launcher(Store(project).run(run.id), job)


def until_ended(launcher: Launcher) -> list[Report | Ended]:
    happened: list[Report | Ended] = []
    while not any(isinstance(each, Ended) for each in happened):
        happened += launcher.poll(1.0)
    return happened


def test_a_worker_that_is_stopped_when_it_has_just_ended_gets_no_further_trial(tmp_path: Path) -> None:
    pool = pool_of(lambda x: x, tmp_path)
    try:
        pool.launch(Trial(0, {"x": 0.5}, attempt=1))
        worker = pool._busy[0]
        assert select.select([worker.connection], [], [], 30)[0]  # it has ended; nobody has heard of it yet
        pool.stop(0)
        assert isinstance(until_ended(pool)[-1], Ended)
        pool.launch(Trial(1, {"x": 0.25}, attempt=1))
        assert pool._busy[1] is not worker
        report, end = until_ended(pool)
        assert report.metrics == {"m": 0.25}
        assert not end.failure
    finally:
        pool.close()


def forks(x: float) -> float:
    child = os.fork()
    if child == 0:
        return -999.0  # comes back in the child, too
    return x if os.waitpid(child, 0)[1] == 0 else -1.0


def forks_and_fails(x: float) -> float:
    child = os.fork()
    if child == 0:
        raise ValueError("of the child")
    return x if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1 else -1.0


def closes_its_output(x: float) -> float:
    print("closed")
    sys.stdout.close()
    return x


@pytest.mark.parametrize("function", [forks, forks_and_fails, closes_its_output])
def test_what_a_function_does_to_its_process_changes_neither_its_result_nor_the_next_trial(
    function: Callable[..., object], tmp_path: Path
) -> None:
    pool = pool_of(function, tmp_path)
    try:
        for number in range(2):
            pool.launch(Trial(number, {"x": 0.5}, attempt=1))
            report, end = until_ended(pool)
            assert (report.number, report.metrics) == (number, {"m": 0.5})
            assert (end.number, end.failure) == (number, "")
    finally:
        pool.close()
