"""Runs that Katib manages, through the client against the emulator: what comes out, what may go wrong, and that nothing stays."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_runs import SLOW, Submit, job_of, submitting
from kubernetes_runs import cluster_of, forgetting, left, listed
from late import LATE

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, ProviderError, RunNotFound
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes import client as client_module
    from cloudtune_kubernetes.emulator import KubernetesEmulator

TWO_A_KILL = """
import os, pathlib, time, cloudtune.trial as t
folder = pathlib.Path({folder!r})
while len([*folder.glob("ended-*")]) >= 2 * (len([*folder.glob("kill-*")]) + 1):
    time.sleep(0.05)
(folder / f"ended-{{os.getpid()}}").touch()
t.report(score=t.params()["x"])
"""
"""Some two trials end for each `kill -9`, so that kills come at any moment of the run."""

KILLS = int(os.environ.get("CLOUDTUNE_TEST_KILLS", "6"))
LONG = "import time, cloudtune.trial as t\nt.report(score=t.params()['x'])\nprint('here', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, backoff=0.02) as running:
        own = {"CLOUDTUNE_KUBERNETES_POLL": "0.1", "CLOUDTUNE_KUBERNETES_KATIB": "true"}
        for name, value in {**running.environment, **own}.items():
            monkeypatch.setenv(name, value)
        yield running
        assert running.cluster.loop.failures == []


submit = submitting("k8s")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls that may pass made again at once."""
    monkeypatch.setattr(client_module, "PAUSE", 0.001)


def test_a_run_is_one_experiment_whose_trials_values_and_logs_come_back(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    space = {"x": {"type": "float", "low": 0.0, "high": 1.0}, "k": {"type": "categorical", "values": ['"', None], "when": {"n": [2]}},
             "n": {"type": "int", "low": 1, "high": 2}}  # fmt: skip
    run = submit(job_of(tmp_path, space=space, trial={"environment": {"SECRET": "hush"}}, data={"d": "src"}))
    assert run.plan.mode == "managed"
    assert run.wait() is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 4, [trial.reason for trial in trials]
    assert all(trial.metrics["score"] == pytest.approx(3 * float(str(trial.parameters["x"]))) for trial in trials)
    assert all(("k" in trial.parameters) == (trial.parameters["n"] == 2) for trial in trials)
    assert [[report.step for report in run.reports(trial.number)] for trial in trials] == [[1, 2, 3]] * 4
    assert [line for line in run.logs(2) if line.startswith("step 3: score=")]
    assert float(run.fetch(2, tmp_path / "out")[0].read_text()) == trials[2].parameters["x"]
    (made,) = listed(emulator, "experiments")
    assert made["metadata"]["name"] == run.record.native["job"]
    assert made["status"]["currentOptimalTrial"]["bestTrialName"] == (run.best and run.best.place)
    assert left(emulator) == {}, "the Experiment stays, and nothing that costs anything"
    assert "hush" not in json.dumps(made)


@pytest.mark.complete
def test_cancelling_leaves_nothing(emulator: KubernetesEmulator, submit: Submit, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path, LONG))

    def running() -> bool:
        run.refresh()
        return sum(trial.state is TrialState.RUNNING and bool(trial.started) for trial in run.trials()) == 2

    wait_until(running)
    run.cancel()
    assert run.wait() is RunState.CANCELLED
    assert {trial.state for trial in run.trials()} == {TrialState.CANCELLED}
    wait_until(lambda: left(emulator, "experiments", "trials", "suggestions") == {})


@pytest.mark.complete
def test_trials_that_run_when_the_goal_is_reached_are_ended_since_katib_lets_them_run(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    gate = tmp_path / "first"
    script = (
        f"import pathlib, time, cloudtune.trial as t\ntry:\n    pathlib.Path({str(gate)!r}).touch(exist_ok=False)\n"
        "    t.report(score=1.0)\nexcept FileExistsError:\n    t.report(score=0.0)\n    time.sleep(60)\n"
    )
    run = submit(job_of(tmp_path, script, limits={"trials": 9, "parallel": 3, "target": 0.5}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert "the target 0.5 is reached" in run.record.reason
    assert sorted(trial.state.value for trial in run.trials()) == ["cancelled", "cancelled", "completed"]
    assert left(emulator) == {}


@pytest.mark.complete
@pytest.mark.usefixtures("impatient")
def test_cuts_forgotten_versions_throttling_and_lost_answers_make_no_experiment_twice(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    faults = emulator.faults
    faults.watch_cuts, faults.throttle, faults.lost, faults.errors = 0.3, 0.2, 0.1, 0.05
    run = submit(job_of(tmp_path, limits={"trials": 8, "parallel": 4}))
    assert run.wait(forgetting(emulator)) is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 8, [trial.reason for trial in trials]
    assert all(len(list(run.reports(trial.number))) == 3 for trial in trials)
    assert len({trial.place for trial in trials}) == 8
    faults.watch_cuts = faults.throttle = faults.lost = faults.errors = 0.0
    assert len(listed(emulator, "experiments")) == 1


@pytest.mark.complete
def test_an_image_that_cannot_be_pulled_fails_its_trials_soon_and_says_so(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_UNSTARTABLE", "0.3")
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_OUTPUT", "")
    emulator.faults.unpullable = ("wrong:*",)
    run = submit(job_of(tmp_path, trial={"image": "wrong:1"}, limits={"trials": 2, "failed": 1, "parallel": 1}))
    assert run.wait() is RunState.FAILED
    assert "could not start within 0.3 s" in run.trials()[0].reason
    assert "ImagePull" in run.trials()[0].reason
    assert left(emulator) == {}


@pytest.mark.complete
def test_suggestions_that_fail_say_why_and_leave_no_trial_behind(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, LONG))
    name = run.record.native["job"]
    wait_until(lambda: len(listed(emulator, "pods")) == 2)
    cluster, why = (
        cluster_of(emulator),
        "ValidateAlgorithmSettings Error: n_initial_points should be great or equal than zero",
    )
    for kind, message in (("suggestions", why), ("experiments", "Suggestion has failed")):
        failed = {"type": "Failed", "status": "True", "reason": "Failed", "message": message}
        body = {"status": {"conditions": [failed]}}
        cluster.call("failing", "PATCH", f"{cluster.path(kind, name)}/status", body=body)
    assert run.wait() is RunState.FAILED
    assert run.record.reason == why
    assert {trial.state for trial in run.trials()} == {TrialState.CANCELLED}
    assert left(emulator) == {}


@pytest.mark.complete
def test_a_distributed_trial_is_measured_at_rank_0(submit: Submit, tmp_path: Path) -> None:
    script = (
        "import os, cloudtune.trial as t\nt.report(score=float(os.environ['WORLD_SIZE']) + float(os.environ['RANK']))\n"
    )
    run = submit(job_of(tmp_path, script, compute={"count": 2}, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [report.metrics for report in run.reports(0)] == [{"score": 2.0}]
    assert run.trials()[0].metrics == {"score": 2.0}


@pytest.mark.complete
def test_an_image_that_knows_nothing_of_cloudtune_is_heard_by_what_it_prints(submit: Submit, tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text("import sys\nx = float(sys.argv[1].partition('=')[2])\nprint(f'epoch 1: score = {x!r}')\n")
    own = {"spec": {"containers": [{"name": "trial", "command": [sys.executable, str(script)]}]}}
    run = submit(job_of(tmp_path, kubernetes=own))
    assert run.plan.mode == "managed"
    assert run.wait() is RunState.COMPLETED, run.events()
    assert all(trial.metrics["score"] == trial.parameters["x"] for trial in run.trials())


@pytest.mark.complete
def test_the_median_rule_of_katib_prunes_what_does_badly(submit: Submit, tmp_path: Path) -> None:
    script = (
        "import time, cloudtune.trial as t\nx = t.params()['x']\nfor step in range(1, 41):\n"
        "    t.report(score=x if step < 30 else 1.0, step=step)\n    time.sleep(0.05)\n"
    )
    run = submit(job_of(tmp_path, script, stopping={"type": "median", "grace": 1}, limits={"trials": 9, "parallel": 3}))
    assert run.wait() is RunState.COMPLETED, run.events()
    states = [trial.state for trial in run.trials()]
    assert set(states) == {TrialState.COMPLETED, TrialState.PRUNED}, states
    assert states[:3] == [TrialState.COMPLETED] * 3, "as many as Katib asks for are needed first"


@pytest.mark.complete
@pytest.mark.parametrize("moment", ["before the answer", "while trials run"])
def test_what_a_killed_command_has_begun_goes_on_and_is_followed_again(
    emulator: KubernetesEmulator, tmp_path: Path, moment: str
) -> None:
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 6}).to_yaml())
    if moment == "before the answer":
        emulator.faults.slow, emulator.faults.operations = 1.0, ("CreateExperiment",)
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", "k8s", "--quiet"]
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(
        lambda: (
            len(listed(emulator, "experiments")) == 1
            and (moment != "while trials run" or len(listed(emulator, "trials")) >= 3)
        )
    )
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    emulator.faults.slow = 0.0
    run = api.attach(project=tmp_path).resume()
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 6
    assert len(listed(emulator, "experiments")) == 1
    assert len(listed(emulator, "trials")) == 6
    assert left(emulator) == {}


@pytest.mark.complete
def test_kills_at_any_moment_make_nothing_twice_and_lose_nothing(emulator: KubernetesEmulator, tmp_path: Path) -> None:
    """kill -9 of whatever starts or follows the run, as often as it takes; the Experiment goes on meanwhile."""
    kills, chance = 0, random.Random(5)
    job = job_of(tmp_path, TWO_A_KILL.format(folder=str(tmp_path)), limits={"trials": KILLS * 2, "parallel": 2})
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    while True:
        begun = api.runs(project=tmp_path)
        words = ["resume", begun[0].id] if begun else ["run", "job.yaml", "--on", "k8s"]
        process = subprocess.Popen(
            [sys.executable, "-m", "cloudtune", *words, "--quiet"], cwd=tmp_path, stdout=subprocess.DEVNULL
        )
        try:
            assert process.wait(chance.uniform(1.0, 5.0) if kills < KILLS else 120.0) == 0
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            (tmp_path / f"kill-{kills}").touch()
    run = api.attach(project=tmp_path)
    trials = run.trials()
    assert (run.state, kills >= KILLS - 1, len(api.runs(project=tmp_path))) == (RunState.COMPLETED, True, 1)
    assert [(trial.number, trial.state, trial.attempt) for trial in trials] == [
        (number, TrialState.COMPLETED, 1) for number in range(KILLS * 2)
    ]
    assert sorted(trial.place for trial in trials) == sorted(
        each["metadata"]["name"] for each in listed(emulator, "trials")
    )
    assert all(trial.metrics["score"] == trial.parameters["x"] for trial in trials)
    assert [len(list(run.reports(trial.number))) for trial in trials] == [1] * len(trials)
    assert len(listed(emulator, "experiments")) == 1
    assert left(emulator) == {}


@pytest.mark.complete
def test_a_run_goes_on_after_its_end_where_its_policy_lets_it(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    ended = submit(job_of(tmp_path, limits={"trials": 2}))
    assert ended.wait() is RunState.COMPLETED
    with pytest.raises(ConfigError, match="resumePolicy Never.*LongRunning or FromVolume"):
        ended.extend(trials=1)
    own = {"katib": {"spec": {"resumePolicy": "LongRunning"}}}
    run = submit(
        job_of(tmp_path, kubernetes=own, limits={"trials": 3, "failed": 3}, trial={"environment": {"S": "hush"}})
    )
    assert run.wait() is RunState.COMPLETED, run.events()
    with pytest.raises(ConfigError, match="runs no trial again"):
        run.retry()
    run.extend(trials=2, limits={"failed": 1}, environment={"S": "hush"})
    assert api.attach(run.id, project=tmp_path).wait() is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert [(trial.number, trial.state) for trial in trials] == [(number, TrialState.COMPLETED) for number in range(5)]
    assert len({trial.place for trial in trials}) == 5
    spec = next(
        each for each in listed(emulator, "experiments") if each["metadata"]["name"] == run.record.native["job"]
    )["spec"]
    assert (spec["maxTrialCount"], spec["maxFailedTrialCount"]) == (5, 1)
    assert left(emulator) == {}


@pytest.mark.complete
def test_members_of_a_population_go_on_from_checkpoints_a_generation_a_trial(submit: Submit, tmp_path: Path) -> None:
    script = (
        "import pathlib, time, cloudtune.trial as t\nfile = pathlib.Path(t.checkpoint_dir(), 'step')\n"
        "done = int(file.read_text()) if file.exists() else 0\nfor step in range(done + 1, 100):\n"
        "    file.write_text(str(step))\n    t.report(score=step + t.params()['x'], step=step)\n    time.sleep(0.2)\n"
    )
    strategy = {"type": "population", "members": 5, "interval": 2, "max_resource": 4, "quantile": 0.2}
    run = submit(job_of(tmp_path, script, mode="managed", strategy=strategy, limits={"trials": 10, "parallel": 5}))
    assert run.wait() is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 10, [trial.reason for trial in trials]
    steps = [[report.step for report in run.reports(trial.number)][:2] for trial in trials]
    assert steps[:5] == [[1, 2]] * 5
    assert all(first[0] in (3, 4) for first in steps[5:]), steps


@pytest.mark.complete
def test_an_experiment_is_attached_from_elsewhere_whoever_made_it(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, space={"x": {"type": "float", "low": 0.1, "high": 1.0, "scale": "log"}}))
    assert run.wait() is RunState.COMPLETED
    (tmp_path / "elsewhere").mkdir()
    other = api.attach(run.record.native["job"], "k8s", project=tmp_path / "elsewhere")
    assert other.wait() is RunState.COMPLETED, other.events()
    assert [trial.parameters for trial in other.trials()] == [trial.parameters for trial in run.trials()]
    assert (other.best and other.best.metrics) == (run.best and run.best.metrics)
    container = {"name": "main", "image": "x", "command": ["sh", "-c", "echo loss=${trialParameters.rate}"]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    foreign = {
        "apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": {"name": "theirs"},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss"}, "algorithm": {"algorithmName": "random"},
            "parallelTrialCount": 2, "maxTrialCount": 3, "maxFailedTrialCount": 2,
            "parameters": [{"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "0.1"}}],
            "trialTemplate": {"primaryContainerName": "main", "retain": True, "trialParameters": [{"name": "rate", "reference": "lr"}], "trialSpec": job},
        },
    }  # fmt: skip
    cluster = cluster_of(emulator)
    cluster.call("making one", "POST", cluster.path("experiments"), body=foreign)
    theirs = api.attach("theirs", "k8s", project=tmp_path / "elsewhere")
    assert theirs.wait() is RunState.COMPLETED, theirs.events()
    assert [trial.metrics["loss"] for trial in theirs.trials()] == [trial.parameters["lr"] for trial in theirs.trials()]
    assert list(theirs.logs(0)) == [f"loss={theirs.trials()[0].parameters['lr']}"]
    with pytest.raises(RunNotFound, match="kubectl get experiments"):
        api.attach("nobody", "k8s", project=tmp_path)


@pytest.mark.complete
def test_a_cluster_that_cannot_is_told_from_one_that_can(
    emulator: KubernetesEmulator,
    submit: Submit,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = cluster_of(emulator)
    assert run_app(["check", "--on", "k8s"]) == 0, capsys.readouterr().out
    assert "Katib" in capsys.readouterr().out
    label = {"metadata": {"labels": {"katib.kubeflow.org/metrics-collector-injection": None}}}
    cluster.call("unlabelling", "PATCH", "/api/v1/namespaces/default", body=label)
    with pytest.raises(ProviderError, match="kubectl label namespace default"):
        submit(job_of(tmp_path))
    assert run_app(["check", "--on", "k8s"]) == 1
    with KubernetesEmulator(katib=False) as other:
        for name, value in other.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ProviderError, match="Katib is not installed"):
            submit(job_of(tmp_path))
        assert left(other) == {}
