"""Runs on a cluster, through the client against the emulator: what may go wrong, and what must come out all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import SLOW, Submit, job_of, submitting
from kubernetes_runs import cluster_of, forgetting, left
from late import LATE

from cloudtune import api
from cloudtune.errors import TrialError
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes import client as client_module
    from cloudtune_kubernetes.emulator import KubernetesEmulator

LONG = "import time, cloudtune.trial as t\nt.report(score=t.params()['x'])\nprint('here', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, backoff=0.02) as running:
        own = {"CLOUDTUNE_KUBERNETES_POLL": "0.1", "CLOUDTUNE_KUBERNETES_OUTPUT": ""}
        for name, value in {**running.environment, **own}.items():
            monkeypatch.setenv(name, value)
        yield running


submit = submitting("k8s")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls that may pass made again at once."""
    monkeypatch.setattr(client_module, "PAUSE", 0.001)


def told(run: Run) -> str:
    return "\n".join(str(event) for event in run.events())


def test_a_run_leaves_nothing_in_the_cluster_and_its_logs_and_files_here(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_OUTPUT", emulator.environment["CLOUDTUNE_KUBERNETES_OUTPUT"])
    run = submit(job_of(tmp_path, trial={"environment": {"SECRET": "hush"}}, data={"d": "src"}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [trial.attempt for trial in run.trials()] == [1] * 4
    assert left(emulator) == {}
    assert [line for line in run.logs(2) if line.startswith("step 3: score=")]
    files = run.fetch(2, tmp_path / "out")
    assert [(file.name, float(file.read_text())) for file in files] == [("model.txt", run.trials()[2].parameters["x"])]
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_OUTPUT", "")
    without = submit(job_of(tmp_path, limits={"trials": 1}))
    without.wait()
    with pytest.raises(TrialError, match="left no files"):
        without.fetch(0, tmp_path / "none")


@pytest.mark.complete
def test_what_a_pruned_trial_printed_is_kept_here(submit: Submit, tmp_path: Path) -> None:
    script = "import time, cloudtune.trial as t\nbad = t.number() == 1\nt.report(score=0.1 if bad else 1.0, step=1)\n"
    rule = {"type": "bandit", "slack_factor": 0.1}
    script += "time.sleep(20 if bad else 0)\n"
    run = submit(job_of(tmp_path, script, stopping=rule, limits={"trials": 2, "parallel": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert run.trials()[1].state is TrialState.PRUNED
    assert next(iter(run.logs(1))) == "step 1: score=0.1"


@pytest.mark.complete
def test_cancelling_leaves_nothing(emulator: KubernetesEmulator, submit: Submit, tmp_path: Path) -> None:
    run = api.submit(job_of(tmp_path, LONG), "k8s", project=tmp_path, base=tmp_path)
    wait_until(lambda: sum(trial.state is TrialState.RUNNING for trial in run.trials()) == 2)
    run.cancel()
    assert run.wait() is RunState.CANCELLED
    wait_until(lambda: left(emulator) == {})


def test_evictions_and_a_dead_node_cost_no_retry(emulator: KubernetesEmulator, submit: Submit, tmp_path: Path) -> None:
    """The first attempts are evicted, or die with their node: all trials complete nevertheless, without a retry."""
    script = (
        f"import pathlib, time, cloudtune.trial as t\nmark = pathlib.Path({str(tmp_path)!r}, f'began-{{t.number()}}')\n"
    )
    script += "again = mark.exists()\nmark.touch()\ntime.sleep(0 if again else 60)\nt.report(score=t.params()['x'])\n"
    run = submit(job_of(tmp_path, script, limits={"trials": 2, "parallel": 2}))
    struck: list[str] = []

    def strike(_: Any) -> None:
        if not struck and all((tmp_path / f"began-{number}").exists() for number in range(2)):
            cluster = cluster_of(emulator)
            evicted, other = cluster.call("looking", "GET", cluster.path("pods"))["items"]
            struck.append(evicted["metadata"]["name"])
            emulator.cluster.evict("default", struck[0])
            emulator.lose_node(other["spec"]["nodeName"])

    assert run.wait(strike) is RunState.COMPLETED, run.events()
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 2, run.events()
    assert [trial.attempt for trial in run.trials()] == [2, 2]
    assert told(run).count("was lost (the cluster took its pod away") == 2


@pytest.mark.usefixtures("impatient")
def test_cuts_forgotten_versions_throttling_and_lost_answers_make_no_job_twice(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    faults = emulator.faults
    faults.watch_cuts, faults.throttle, faults.lost, faults.errors = 0.3, 0.2, 0.1, 0.05
    run = submit(job_of(tmp_path, limits={"trials": 8, "parallel": 4}))
    assert run.wait(forgetting(emulator)) is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 8, [trial.reason for trial in trials]
    assert [trial.attempt for trial in trials] == [1] * 8
    assert all(trial.metrics["score"] == pytest.approx(3 * trial.parameters["x"]) for trial in trials)
    assert all(len(list(run.reports(trial.number))) == 3 for trial in trials)
    assert faults.counts["cut"] > 0


def test_an_image_that_cannot_be_pulled_fails_its_trial_soon_and_says_so(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_UNSTARTABLE", "0.3")
    emulator.faults.unpullable = ("wrong:*",)
    run = submit(job_of(tmp_path, trial={"image": "wrong:1"}, retries=3, limits={"trials": 1}))
    assert run.wait() is RunState.FAILED
    (trial,) = run.trials()
    assert trial.attempt == 1, "another attempt would get the same"
    assert "could not start within 0.3 s" in trial.reason
    assert "ImagePull" in trial.reason
    assert "waits for its container (" in told(run)
    assert left(emulator) == {}


@pytest.mark.complete
def test_a_pod_that_no_node_has_room_for_waits_and_says_why(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_UNSCHEDULED", "0.3")
    run = submit(job_of(tmp_path, compute={"cpus": 10000}, limits={"trials": 1}))
    assert run.wait() is RunState.FAILED
    assert "waits for a node (Unschedulable: 0/2 nodes are available" in told(run)
    assert "could not start within 0.3 s: Unschedulable" in run.trials()[0].reason


@pytest.mark.complete
def test_a_trial_without_room_is_waiting_until_another_has_ended(submit: Submit, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    script = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.05)\n"
    run = submit(job_of(tmp_path, script + SLOW, compute={"cpus": 40}, limits={"trials": 3, "parallel": 3}))
    shown: list[str] = []

    def watch(_: Any) -> None:
        queued = [trial for trial in run.trials() if trial.queued]
        if queued and not gate.exists():
            assert queued[0].started is None
            shown.append(f"{queued[0].state.value}: {queued[0].reason}")
            gate.touch()

    assert run.wait(watch) is RunState.COMPLETED, run.events()
    assert shown[0].startswith("waiting: waits for a node (Unschedulable: 0/2 nodes are available")
    assert [(trial.state, trial.attempt, trial.reason) for trial in run.trials()] == [(TrialState.COMPLETED, 1, "")] * 3
    assert told(run).count("begins") == 1


@pytest.mark.complete
def test_a_distributed_trial_has_a_pod_for_each_rank(submit: Submit, tmp_path: Path) -> None:
    script = (
        "import os, pathlib, cloudtune.trial as t\n"
        f"pathlib.Path({str(tmp_path)!r}, 'rank-' + os.environ['RANK']).write_text(os.environ['MASTER_ADDR'])\n"
        "t.report(score=float(os.environ['WORLD_SIZE']))\n"
    )
    run = submit(job_of(tmp_path, script, compute={"count": 3}, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    addresses = {path.name: path.read_text() for path in tmp_path.glob("rank-*")}
    assert sorted(addresses) == ["rank-0", "rank-1", "rank-2"]
    assert set(addresses.values()) == {f"{run.trials()[0].place}-0.{run.trials()[0].place.rsplit('-', 2)[0]}"}
    assert [report.metrics for report in run.reports(0)] == [{"score": 3.0}], "rank 0 alone reports"


@pytest.mark.complete
def test_an_image_that_knows_nothing_of_cloudtune_is_heard_by_what_it_prints(submit: Submit, tmp_path: Path) -> None:
    code = "import sys\nx = float(sys.argv[1].partition('=')[2])\nprint(f'epoch 1: score = {x!r}')"
    own = {"spec": {"containers": [{"name": "trial", "command": [sys.executable, "-c", code]}]}}
    run = submit(job_of(tmp_path, kubernetes=own))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert all(trial.metrics["score"] == trial.parameters["x"] for trial in run.trials())


@pytest.mark.complete
def test_code_of_several_parts_is_put_together(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "weights.bin").write_bytes(os.urandom(2_500_000))
    script = "import pathlib, cloudtune.trial as t\nt.report(score=pathlib.Path('weights.bin').stat().st_size)\n"
    run = submit(job_of(tmp_path, script, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert run.trials()[0].metrics["score"] == 2_500_000


@pytest.mark.complete
def test_a_killed_driver_is_resumed_with_the_jobs_that_run(emulator: KubernetesEmulator, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 6}).to_yaml())
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", "k8s", "--quiet"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: len(left(emulator).get("jobs", ())) >= 3)
    _kill_with_children(driver)
    run = api.attach(project=tmp_path).resume()
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 6
    assert emulator.calls["CreateJob"] == 6


def _kill_with_children(process: subprocess.Popen[bytes]) -> None:
    import psutil

    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        os.kill(each.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.complete
def test_calls_do_not_grow_with_the_trials_that_run(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    """Beside a call to make each Job and at most two for its log, there are as many calls however many run at once."""
    others: list[int] = []
    for parallel in (2, 16):
        before = dict(emulator.calls)
        run = submit(job_of(tmp_path, SLOW, limits={"trials": 16, "parallel": parallel}))
        assert run.wait() is RunState.COMPLETED, run.events()
        made = {name: count - before.get(name, 0) for name, count in emulator.calls.items()}
        assert made["CreateJob"] == 16
        assert made["GetPodLog"] <= 32
        others.append(sum(count for name, count in made.items() if name not in ("CreateJob", "GetPodLog")))
    assert others[1] <= others[0], others
    assert others[0] < 20
