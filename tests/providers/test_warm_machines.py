"""Machines that are kept from trial to trial of a driven run: they start once a slot, and are given back at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import job_of
from late import LATE

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.cli.garbage import kept_at_services
from cloudtune.errors import ProviderError
from cloudtune.planning.plan import Plan, Support
from cloudtune.provider.interface import load_provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState
from cloudtune.testing.conformance import wait_until

if LATE:
    from cloudtune_azureml.emulator import fixture as azureml
    from cloudtune_sagemaker.emulator import fixture as sagemaker
    from cloudtune_vertex.emulator import fixture as vertex

START = 0.2
"""Seconds that machines take to start."""


@contextmanager
def emulated(on: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An emulator whose machines take time to start, found by the provider."""
    with {"sagemaker": sagemaker, "vertex": vertex, "azureml": azureml}[on].emulated(
        monkeypatch, machine_start=START
    ) as emulator:
        monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
        monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_POLL", "0.1")
        monkeypatch.setenv("CLOUDTUNE_VERTEX_POLL", "0.1")
        monkeypatch.setenv("CLOUDTUNE_AZUREML_POLL", "0.1")
        yield emulator


@pytest.fixture(params=["sagemaker", "vertex", pytest.param("azureml", marks=pytest.mark.complete)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """A service with machines that can be kept, and its emulator."""
    with emulated(request.param, monkeypatch) as emulator:
        yield request.param, emulator


def asha(folder: Path, trials: int, **compute: Any) -> TuningJob:
    return job_of(
        folder,
        mode="driven",
        stopping={"type": "asha", "max_resource": 3},
        limits={"trials": trials, "parallel": 2},
        compute=compute,
    )


def resources(emulator: Any) -> list[Any]:
    """Return the persistent resources that there are."""
    return list(emulator.jobs.resources.list(emulator.parent)) if hasattr(emulator.jobs, "resources") else []


@pytest.mark.parametrize("trials", [6, pytest.param(30, marks=pytest.mark.complete)])
def test_machines_start_once_a_slot_however_many_trials_there_are(
    place: tuple[str, Any], trials: int, tmp_path: Path
) -> None:
    on, emulator = place
    own = {"instance": "azureml:cpu-cluster"} if on == "azureml" else {"keep": "15m"}  # a cluster has its own idle time
    run = api.prepare(asha(tmp_path, trials, **own), on, project=tmp_path, base=tmp_path)
    assert run.wait() is RunState.COMPLETED
    assert len(run.trials()) == trials
    assert emulator.machine_starts.count == (1 if on == "vertex" else 2)  # a persistent resource has both slots
    if on == "sagemaker":
        assert emulator.calls["UpdateTrainingJob"] == 2  # no machines are kept beyond the run's end
    elif on == "vertex":
        assert emulator.calls["CreatePersistentResource"] == emulator.calls["DeletePersistentResource"] == 1
        assert resources(emulator) == []


@pytest.mark.parametrize(
    "place",
    ["sagemaker", *(pytest.param(each, marks=pytest.mark.complete) for each in ("vertex", "azureml"))],
    indirect=True,
)
def test_without_that_they_start_for_each_trial(
    place: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, emulator = place
    monkeypatch.setenv("CLOUDTUNE_AZUREML_COMPUTE", "")  # serverless
    assert api.prepare(asha(tmp_path, 3), on, project=tmp_path, base=tmp_path).wait() is RunState.COMPLETED
    assert emulator.machine_starts.count == 3


def test_a_killed_driver_leaves_machines_that_a_cancel_gives_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with emulated("vertex", monkeypatch) as emulator:
        slow = "import time, cloudtune.trial as t\nt.report(score=1.0)\ntime.sleep(60)\n"
        job = job_of(tmp_path, slow, mode="driven", compute={"keep": "15m"})
        run = api.submit(job, "vertex", project=tmp_path, base=tmp_path)
        wait_until(lambda: any(run.reports(trial.number) for trial in run.trials()))
        os.kill(_driver_of(run), signal.SIGKILL)
        wait_until(lambda: run.state is RunState.INTERRUPTED)
        assert next(iter(kept_at_services(tmp_path))).needed
        assert len(emulator.jobs.resources.list(emulator.parent)) == 1
        run.cancel()
        assert run.state is RunState.CANCELLED
        assert emulator.jobs.resources.list(emulator.parent) == []


def test_machines_that_nobody_gave_back_are_listed_and_given_back_by_gc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with emulated("vertex", monkeypatch) as emulator:
        run = api.prepare(asha(tmp_path, 1, keep="15m"), "vertex", project=tmp_path, base=tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("cloudtune_vertex.kept_machines.KeptMachines.release", _refuse)
            assert run.wait() is RunState.COMPLETED
        assert "costs until `cloudtune gc` has released it" in "\n".join(said for _, _, said in run.events())
        assert len(emulator.jobs.resources.list(emulator.parent)) == 1
        monkeypatch.chdir(tmp_path)
        assert run_app(["gc", "--dry-run"]) in (0, None)
        said = capsys.readouterr().out
        assert said.startswith("the persistent resource cloudtune-")
        assert f"kept for the trials of {run.id}, which is completed" in said
        assert run_app(["gc"]) in (0, None)
        assert emulator.jobs.resources.list(emulator.parent) == []
        capsys.readouterr()
        assert run_app(["gc", "--json"]) in (0, None)
        assert "kept" not in capsys.readouterr().out


def _refuse(_: object) -> None:
    raise ProviderError("Google cannot be reached")


def _driver_of(run: Run) -> int:
    import psutil

    words = ((process.pid, process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    return next(pid for pid, said in words if "cloudtune.cli.drive" in said and run.id in said)


# The plan

Planned = Callable[..., Plan]


def plan_on(name: str, folder: Path, **fields: Any) -> Plan:
    return load_provider(name)({}).plan(job_of(folder, **fields))


def note(plan: Plan) -> str:
    return next(
        (f"{each.support.value}: {each.message}" for each in plan.notes if each.path == "compute.keep"), "exact"
    )


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("sagemaker", {"mode": "driven", "compute": {"keep": "15m"}}, "exact"),
        ("sagemaker", {"mode": "driven", "compute": {"keep": "2h"}}, "an hour at most: 3600 seconds"),
        ("sagemaker", {"mode": "driven", "compute": {"keep": "15m", "spot": True}}, "no spot machines: of no effect"),
        ("sagemaker", {"mode": "managed", "compute": {"keep": "15m"}}, "of no effect; mode: driven keeps them"),
        ("vertex", {"mode": "driven", "compute": {"keep": "15m"}}, "it costs until then"),
        ("vertex", {"mode": "driven", "compute": {"keep": "15m", "spot": True}}, "no spot machines: of no effect"),
        ("vertex", {"mode": "managed", "compute": {"keep": "15m"}}, "of no effect; mode: driven keeps them"),
        ("azureml", {"mode": "driven", "compute": {"keep": "15m"}}, "--idle-time-before-scale-down"),
        ("local", {"compute": {"keep": "15m"}}, "this machine is there already"),
        ("ray", {"compute": {"keep": "15m"}}, "slots take one trial after the other"),
    ],
)
def test_a_plan_says_where_keeping_machines_has_an_effect(
    name: str, fields: dict[str, Any], says: str, tmp_path: Path
) -> None:
    assert says in note(plan_on(name, tmp_path, **fields))


def test_a_request_says_for_how_long_and_which_machines(tmp_path: Path) -> None:
    sent: Any = plan_on("sagemaker", tmp_path, mode="driven", compute={"keep": "2h"}).request
    assert sent["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 3600
    planned = plan_on("vertex", tmp_path, mode="driven", compute={"keep": "15m"})
    assert planned.support("compute.keep") is Support.APPROXIMATE
    job: Any = planned.request
    assert job["jobSpec"]["persistentResourceId"] == "${machines}"


def test_a_persistent_resource_is_what_the_trials_ask_for(tmp_path: Path) -> None:
    from cloudtune_vertex.kept_machines import resource_of

    compute = {
        "keep": "15m",
        "count": 3,
        "disk": "200GB",
        "instance": "n1-standard-8",
        "accelerators": "NVIDIA_TESLA_T4:2",
    }
    request: Any = plan_on(
        "vertex", tmp_path, mode="driven", compute=compute, identity="a@b.iam.gserviceaccount.com"
    ).request
    resource = resource_of(request, 4)
    (pool,) = resource["resourcePools"]
    assert pool["replicaCount"] == 12
    assert pool["machineSpec"] == request["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]
    assert pool["diskSpec"] == {"bootDiskSizeGb": 200}
    assert resource["resourceRuntimeSpec"] == {"serviceAccountSpec": {"enableCustomServiceAccount": True}}
