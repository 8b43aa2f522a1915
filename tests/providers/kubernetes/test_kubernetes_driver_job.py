"""A driver that is a Job of the cluster: what it does is known here, and neither its pod's end nor this machine's costs anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cloud_runs import job_of
from kubernetes_runs import KINDS, cluster_of, listed
from late import LATE

from cloudtune import api
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.emulator import KubernetesEmulator


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=2.0, backoff=0.02) as running:
        for name, value in {**running.environment, "CLOUDTUNE_KUBERNETES_POLL": "0.1"}.items():
            monkeypatch.setenv(name, value)
        yield running


SECRET = "0.31415926"


def started(folder: Path, *, seconds: float = 0.3, **fields: Any) -> Run:
    """A run whose trials write down each of their starts."""
    script = f"import os, time, cloudtune.trial as t\nopen({str(folder / 'began')!r} + f'-{{t.number()}}', 'a').write('once ')\n"
    script += f"print('done', flush=True)\ntime.sleep({seconds})\nt.report(score=t.params()['x'] + float(os.environ['SECRET']))\n"
    job = job_of(folder, script, trial={"environment": {"SECRET": SECRET}}, **fields)
    return api.submit(job, "k8s", project=folder, base=folder, driver="k8s")


def drivers_pods(emulator: KubernetesEmulator) -> list[dict[str, Any]]:
    """The pods of drivers that are there, and not about to end."""
    pods = [each for each in listed(emulator, "pods") if "-driver-" in each["metadata"]["name"]]
    return [
        each for each in pods if each["status"]["phase"] == "Running" and "deletionTimestamp" not in each["metadata"]
    ]


def evict(emulator: KubernetesEmulator) -> str:
    """Evict the driver's pod; return its name, "" where there was none."""
    for pod in drivers_pods(emulator):
        emulator.cluster.evict("default", pod["metadata"]["name"])
        return str(pod["metadata"]["name"])
    return ""


def kill(emulator: KubernetesEmulator) -> str:
    """Kill the driver without a word, as the kernel does for want of memory; return its pod's name, "" where there was none."""
    for pod in drivers_pods(emulator):
        kill_programs()
        return str(pod["metadata"]["name"])
    return ""


def kill_programs() -> None:
    """Kill the drivers that this process's emulator runs."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word.endswith("cloudtune_driver.py") for word in process.cmdline()):
                process.kill()


def lose_node(emulator: KubernetesEmulator) -> str:
    """Have the node of the driver's pod die; return the pod's name, "" where there was none."""
    for pod in drivers_pods(emulator):
        emulator.lose_node(pod["spec"]["nodeName"])
        return str(pod["metadata"]["name"])
    return ""


def once_each(run: Run, folder: Path, count: int) -> None:
    """All trials completed, and no attempt of one began twice."""
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * count, [trial.reason for trial in trials]
    assert [trial.metrics["score"] for trial in trials] == [
        pytest.approx(float(str(trial.parameters["x"])) + float(SECRET)) for trial in trials
    ]
    assert [len(list(run.reports(number))) for number in range(count)] == [1] * count
    assert all(len((folder / f"began-{each.number}").read_text().split()) <= each.attempt for each in trials)


def nothing(_: KubernetesEmulator) -> str:
    return "none"


@pytest.mark.parametrize(
    "strike", [nothing, *(pytest.param(each, marks=pytest.mark.complete) for each in (evict, kill, lose_node))]
)
def test_a_drivers_pod_that_ends_early_is_followed_by_another_that_goes_on(
    strike: Callable[[KubernetesEmulator], str], emulator: KubernetesEmulator, tmp_path: Path
) -> None:
    count = 1 if strike is nothing else 4
    run = started(tmp_path, limits={"trials": count}, seconds=0.3 if count > 1 else 0.0)
    struck: list[str] = []

    def hit(progress: Any) -> None:
        if not struck and (progress.counts.get("completed", 0) >= 1 or strike is nothing):
            struck.extend(filter(None, [strike(emulator)]))
            manifests = [each for kind in ("jobs", "pods", "configmaps") for each in listed(emulator, kind)]
            assert SECRET not in str(manifests)

    assert run.wait(hit) is RunState.COMPLETED, run.events()
    assert struck
    once_each(run, tmp_path, count)
    assert {trial.attempt for trial in run.trials()} == {1} or strike is lose_node
    assert sum("its driver is" in message for _, _, message in run.events()) == 1
    assert [next(iter(run.logs(number))) for number in range(count)] == ["done"] * count
    wait_until(lambda: {kind: listed(emulator, kind) for kind in KINDS} == {kind: [] for kind in KINDS})


@pytest.mark.complete
@pytest.mark.parametrize("hard", [False, True], ids=["evicted", "killed"])
def test_a_driver_that_is_ended_again_and_again_loses_nothing_and_does_nothing_twice(
    hard: bool, emulator: KubernetesEmulator, tmp_path: Path
) -> None:
    """Each pod of the driver ends once it has written down something new: between any two decisions, in the end."""
    run = started(tmp_path, seconds=1.0, limits={"trials": 10})
    ended: dict[str, int] = {}

    def entries() -> int:
        return sum(file.read_bytes().count(b"\n") for file in emulator.folder.glob("volumes/**/output/journal.txt"))

    def hit(_: Any) -> None:
        for pod in drivers_pods(emulator):
            name, now = pod["metadata"]["name"], entries()
            if len(ended) < 7 and name not in ended and now > max(ended.values(), default=0):
                ended[name] = now
                emulator.cluster.evict("default", name)
                if hard:
                    kill_programs()

    assert run.wait(hit) is RunState.COMPLETED, run.events()
    assert len(ended) >= 4, ended
    once_each(run, tmp_path, 10)
    assert {trial.attempt for trial in run.trials()} == {1}, run.events()
    wait_until(lambda: {kind: listed(emulator, kind) for kind in KINDS} == {kind: [] for kind in KINDS})


@pytest.mark.complete
def test_what_happened_while_nobody_followed_is_known_when_its_log_is_gone(
    emulator: KubernetesEmulator, tmp_path: Path
) -> None:
    """The driver's first pod is evicted and gone with its log, and so is what the second had printed before."""
    run = started(tmp_path, limits={"trials": 6})
    wait_until(lambda: (tmp_path / "began-3").exists())
    first = evict(emulator)
    wait_until(lambda: any(pod["metadata"]["name"] != first for pod in drivers_pods(emulator)))
    wait_until(lambda: (tmp_path / "began-5").exists())
    assert run.wait() is RunState.COMPLETED, run.events()
    once_each(run, tmp_path, 6)
    assert {trial.attempt for trial in run.trials()} == {1}


@pytest.mark.complete
def test_a_driver_whose_job_was_deleted_is_followed_by_another_that_takes_over(
    emulator: KubernetesEmulator, tmp_path: Path
) -> None:
    run = started(tmp_path, limits={"trials": 6})
    wait_until(lambda: (tmp_path / "began-2").exists())
    cluster = cluster_of(emulator)
    (driver,) = (each for each in listed(emulator, "jobs") if "-driver-" in each["metadata"]["name"])
    options = {"propagationPolicy": "Foreground"}
    cluster.call("deleting", "DELETE", cluster.path("jobs", driver["metadata"]["name"]), body=options)
    wait_until(lambda: not drivers_pods(emulator))
    assert run.wait() is RunState.INTERRUPTED
    assert "resume" in run.record.reason
    assert len(run.trials()) >= 3, "what it did is on the volume"
    assert run.resume().wait() is RunState.COMPLETED, run.events()
    once_each(run, tmp_path, 6)
    assert {trial.attempt for trial in run.trials()} == {1}
    assert sum("its driver is" in message for _, _, message in run.events()) == 2


@pytest.mark.complete
@pytest.mark.parametrize("what", ["node", "image"])
def test_what_a_driver_waits_for_is_told(
    what: str, emulator: KubernetesEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_UNSTARTABLE", "1")
    if what == "image":
        emulator.faults.unpullable = ("emulated:*",)
    else:
        monkeypatch.setenv("CLOUDTUNE_KUBERNETES_TEMPLATE", '{"spec": {"nodeSelector": {"pool": "none"}}}')
    run = started(tmp_path, limits={"trials": 1})

    def look(_: Any) -> None:
        if what == "node" and "waits for a node" in str(run.events()) and not run._store.wish():
            api.attach(run.id, project=tmp_path).cancel()

    state = run.wait(look)
    said = [message for _, _, message in run.events() if message.startswith("its driver waits for")]
    if what == "node":
        assert state is RunState.CANCELLED
        assert said[0].startswith("its driver waits for a node (Unschedulable: ")
    else:
        assert state is RunState.INTERRUPTED
        assert "ImagePull" in said[0]
        assert "Image" in run.record.reason
    assert len(said) == 1
    wait_until(lambda: {kind: listed(emulator, kind) for kind in KINDS} == {kind: [] for kind in KINDS})


@pytest.mark.complete
def test_cancelling_ends_the_driver_and_all_that_it_launched(emulator: KubernetesEmulator, tmp_path: Path) -> None:
    run = started(tmp_path, seconds=60)
    wait_until(lambda: (tmp_path / "began-1").exists())
    run.cancel()
    assert run.wait() is RunState.CANCELLED
    assert {trial.state for trial in run.trials()} == {TrialState.CANCELLED}
    wait_until(lambda: {kind: listed(emulator, kind) for kind in KINDS} == {kind: [] for kind in KINDS})
