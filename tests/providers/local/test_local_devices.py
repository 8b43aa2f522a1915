"""Trials of this machine get processors, memory and GPUs of their own, also beside another run and after a kill."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.gpus import held, holding, make_up, messages, most_at_once, t4s

from cloudtune import api
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.process.leases import lease
from cloudtune.process.needs import needs_of
from cloudtune.provider.interface import load_provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState
from cloudtune.testing.conformance import wait_until
from cloudtune_local.machine import LocalProfile, resources_for


@pytest.fixture(autouse=True)
def _two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_up(tmp_path, monkeypatch, *t4s(2))


def driver_of(made: Run) -> int:
    """Return the process that drives a run."""
    words = ((process.pid, process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    return next(pid for pid, said in words if "cloudtune.cli.drive" in said and made.id in said)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> RunState:
    job = TuningJob.from_data(holding(folder, monkeypatch, **fields))
    return api.prepare(job, "local", project=folder, base=folder).wait()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"trial": {"function": "holds:main"}, "objective": {"metric": "score", "goal": "minimize"}},
        {"trial": {"function": "holds:main"}, "local": {"isolate": False}},
    ],
    ids=["commands", "functions", "pool"],
)
def test_six_trials_take_turns_on_two_gpus(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "trial" in fields:
        fields = {**fields, "space": {"seconds": {"type": "float", "low": 0.1, "high": 0.15}}}
    run(tmp_path, monkeypatch, compute={"accelerators": "T4"}, **fields)
    assert {row[0] for row in held(tmp_path)} == {"0", "1"}
    assert len(held(tmp_path)) == 6
    assert most_at_once(tmp_path) == 1


def test_two_trials_share_a_gpu_where_each_asks_for_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, monkeypatch, compute={"accelerators": "T4:0.5"}) is RunState.COMPLETED
    assert {row[0] for row in held(tmp_path)} == {"0", "1"}
    assert most_at_once(tmp_path) == 2


def test_a_trial_that_fails_or_takes_too_long_leaves_its_gpu_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import os; os.environ['CLOUDTUNE_TRIAL'] in '02' and os.abort(); __import__('time').sleep(9 if os.environ['CLOUDTUNE_TRIAL'] == '1' else 0); print('score=1')"
    run(
        tmp_path, monkeypatch, trial={"command": ["python", "-c", script]}, compute={"accelerators": "T4:2"},
        limits={"trials": 4, "parallel": 3, "trial_time": "1s"}, local={"grace": 0.1},
    )  # fmt: skip
    states = [trial.state.value for trial in api.attach(project=tmp_path).trials()]
    assert states == ["failed", "failed", "failed", "completed"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity")
def test_processors_are_shared_out_and_threads_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert run(tmp_path, monkeypatch, compute={"cpus": 1}) is RunState.COMPLETED
    assert {len(row[1].split(",")) for row in held(tmp_path)} == {1}
    assert {row[2] for row in held(tmp_path)} == {"1"}
    assert most_at_once(tmp_path, which=1) == 1


def test_two_runs_at_the_same_time_do_not_share_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = TuningJob.from_data(
        holding(tmp_path, monkeypatch, compute={"accelerators": "T4"}, limits={"trials": 3, "parallel": 3})
    )
    first, second = (api.submit(job, "local", project=tmp_path, base=tmp_path) for _ in range(2))
    assert first.wait() is second.wait() is RunState.COMPLETED
    assert len(held(tmp_path)) == 6
    assert most_at_once(tmp_path) == 1


def test_of_several_profiles_together_each_gets_as_many_trials_as_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloudtune.toml").write_text(
        "".join(f'[profiles.{name}]\nprovider = "local"\ngpus = ["{gpu}"]\n' for name, gpu in (("a", 0), ("b", 1)))
    )
    job = TuningJob.from_data(
        holding(tmp_path, monkeypatch, compute={"accelerators": "T4"}, limits={"trials": 4, "parallel": 4})
    )
    made = api.prepare(job, "a,b", project=tmp_path, base=tmp_path)
    assert made.wait() is RunState.COMPLETED
    assert {row[0] for row in held(tmp_path)} == {"0", "1"}
    assert most_at_once(tmp_path) == 1
    assert "has no room" not in messages(made)


def test_a_run_says_that_it_waits_for_what_another_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"compute": {"accelerators": "T4:2"}, "limits": {"trials": 1}}
    job = TuningJob.from_data(holding(tmp_path, monkeypatch, **fields))
    resources = resources_for(job, LocalProfile(), os.environ)
    other = lease(resources, needs_of(job))
    assert other is not None
    made = api.submit(job, "local", project=tmp_path, base=tmp_path)
    wait_until(lambda: "trials wait: other runs on this machine have the GPUs" in messages(made))
    other.close()
    assert made.wait() is RunState.COMPLETED
    assert messages(made).count("trials wait") == 1


def test_what_a_trial_holds_that_is_taken_over_from_a_killed_driver_is_not_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = holding(tmp_path, monkeypatch, compute={"accelerators": "T4"}, limits={"trials": 3, "parallel": 3})
    waits = "import holds, pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)\nholds.main(); print('score=1')"
    job["trial"] = {"command": ["python", "-c", waits]}
    made = api.submit(TuningJob.from_data(job), "local", project=tmp_path, base=tmp_path)
    wait_until(lambda: len(list(made.folder.glob("trials/*/process.txt"))) == 2)
    os.kill(driver_of(made), signal.SIGKILL)
    wait_until(lambda: made.state is RunState.INTERRUPTED)
    made.resume()
    wait_until(lambda: "taken over" in messages(made))
    time.sleep(0.5)
    assert len(list(made.folder.glob("trials/*/process.txt"))) == 2  # no third one beside those that were taken over
    (tmp_path / "go").touch()
    assert made.wait() is RunState.COMPLETED
    assert [trial.attempt for trial in made.trials()] == [1, 1, 1]
    assert most_at_once(tmp_path) == 1


# The plan


def plan(settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    job = {"name": "j", "trial": {"command": "true"}, "objective": {"metric": "s", "goal": "maximize"}, "space": {"x": {"type": "float", "low": 0, "high": 1}}, "limits": {"trials": 6}}  # fmt: skip
    return load_provider("local")(settings or {}).plan(TuningJob.from_data({**job, **fields}))


def notes(planned: Plan) -> dict[str, str]:
    return {note.path: f"{note.support.value}: {note.message}" for note in planned.notes}


def test_a_plan_says_what_this_machine_has_instead() -> None:
    assert notes(plan(compute={"accelerators": "T4:2"})) == {}
    other = "approximate: this machine has not got them: trials get what it has instead (2 × Tesla T4)"
    assert notes(plan(compute={"accelerators": "A100"})) == {"compute.accelerators.type": other}
    assert notes(plan(compute={"accelerators": "T4:8"})) == {"compute.accelerators.count": other}
    assert notes(plan({"gpus": 0}, compute={"accelerators": "T4"}))["compute.accelerators"].endswith("(no GPU)")
    assert plan(compute={"accelerators": "T4"}).support("compute.accelerators.count") is Support.EXACT
    with pytest.raises(UnsupportedError, match="2 × Tesla T4"):
        plan(compute={"accelerators": "A100"}).refuse(strict=True)


def test_a_plan_says_how_many_trials_fit() -> None:
    planned = plan(limits={"trials": 6, "parallel": 6}, compute={"accelerators": "T4:0.5"})
    assert notes(planned)["limits.parallel"].startswith("approximate: 4 at once: no more fit on this machine (")
    assert "2 × Tesla T4" in notes(planned)["limits.parallel"]
    assert plan(limits={"trials": 6, "parallel": 4}, compute={"accelerators": "T4:0.5"}).notes == ()
    fewer = notes(plan(compute={"cpus": 4096, "memory": "99TB"}))
    assert fewer["compute.cpus"].startswith("approximate: this machine has fewer: each trial gets all of them (")
    assert fewer["compute.memory"].startswith("approximate: this machine has less: trials run one at a time (")


@pytest.mark.parametrize("said", [1, "1", ["0"], [0], "GPU-00000000"])
def test_a_profile_says_which_gpus_trials_may_use(said: object) -> None:
    planned = plan({"gpus": said}, limits={"trials": 6, "parallel": 2}, compute={"accelerators": "T4"})
    assert notes(planned)["limits.parallel"].startswith("approximate: 1 at once")


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="'gpus' of the local profile: there is no GPU '5' here .* are: 0, 1"):
        plan({"gpus": ["5"]}, compute={"accelerators": "T4"})
    with pytest.raises(ConfigError, match="no setting 'gpu'; did you mean 'gpus'"):
        plan({"gpu": 2}, compute={"accelerators": "T4"})


def test_check_says_which_gpus_there_are() -> None:
    findings = {finding.subject: finding.message for finding in load_provider("local")({}).check()}
    assert findings["gpus"] == "2 × Tesla T4"
