"""Runs on any cloud service, through its own client against its emulator: what may go wrong, and what must come out all the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import CredentialError, RunNotFound, TrialError
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

SCRIPT = """
import pathlib
import cloudtune.trial as t
x = t.params()["x"]
pathlib.Path(t.output_dir(), "model.txt").write_text(str(x))
for step in range(1, 4):
    t.report(score=x * step, step=step)
"""
PRINTING = """
import cloudtune.trial as t
good = ["val_score=1", "10% score=0.5\\r90% \\x1b[1mScore\\x1b[0m: \\x1b[32m0.25\\x1b[0m"]
print("\\n".join(good if t.number() == 0 else ["val_score=0.5", "score=12.75ms"]))
"""
SEEDED = """
import os, sys
import cloudtune.trial as t
assert sys.argv[1] == os.environ["CLOUDTUNE_SEED"]
t.report(score=int(t.params()["x"] * 10) + int(sys.argv[1]) / 100)
"""
SLOW = "import time, cloudtune.trial as t\ntime.sleep(0.4)\nt.report(score=t.params()['x'])\n"

Submit = Callable[[TuningJob], Run]


def job_of(folder: Path, script: str = SCRIPT, **fields: Any) -> TuningJob:
    """A job whose script lies in a folder."""
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "train.py").write_text(script)
    return TuningJob.from_data(
        {
            "name": "runs",
            "trial": {"source": "src", "command": "python train.py", **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 3},
            "limits": {"trials": 4, "parallel": 2, **fields.pop("limits", {})},
            **fields,
        }
    )


def submitting(on: str) -> Any:
    """A fixture `submit` that submits jobs to a provider, whose emulator is the fixture `emulator`.

    Whoever waits for a driven one drives it: a process of its own would have to import the SDK first.
    """

    @pytest.fixture
    def submit(emulator: Any, tmp_path: Path) -> Submit:
        def submit_one(job: TuningJob) -> Run:
            run = api.prepare(job, on, project=tmp_path, base=tmp_path)
            if run.plan.mode == "managed":
                run.start()
            return run

        return submit_one

    return submit


class CloudRuns(ABC):
    """What runs on every cloud service show; each service's own test class inherits it.

    Its module has the fixtures `emulator` (the service's, which the provider finds by the environment), `submit` (see
    `submitting`), and `impatient`, which has clients try again at once, as often as ever, in this process.
    """

    on: ClassVar[str]
    """The short name of the provider, e.g. ``aws``."""

    variables: ClassVar[str]
    """How the environment variables of its settings begin, e.g. ``CLOUDTUNE_SAGEMAKER_``."""

    look: ClassVar[str]
    """The operation by which a tuning job is looked at."""

    machines: ClassVar[tuple[str, str]]
    """Two machine types of the service."""

    keeps_the_seed: ClassVar[bool]
    """Whether the service's own tuner, with the same seed, suggests in the emulator what cloudtune does on this machine."""

    @abstractmethod
    def tuning_jobs(self, emulator: Any) -> int:
        """How many tuning jobs there are."""

    @abstractmethod
    def trial_jobs(self, emulator: Any) -> int:
        """How many jobs there are that were made for driven trials."""

    # Machines

    def test_a_machine_type_without_room_gives_way_to_the_next_without_counting_as_a_failure(
        self, emulator: Any, submit: Submit, tmp_path: Path
    ) -> None:
        full, free = self.machines
        emulator.faults.full = (full,)
        job = job_of(tmp_path, mode="driven", compute={"instance": [full, free]}, limits={"trials": 2, "parallel": 1})
        run = submit(job)
        assert run.plan.machines is not None
        assert (run.plan.machines.kind, run.plan.machines.others) == (full, (free,))
        assert run.wait() is RunState.COMPLETED, run.events()
        assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}
        assert emulator.faults.counts["capacity"] == 1  # the second trial begins with the type that has room
        said = [event for event in run.events() if f"{free} is tried next" in str(event)]
        assert len(said) == 1, run.events()

    # What comes out

    def test_the_same_trials_as_on_this_machine(self, submit: Submit, tmp_path: Path) -> None:
        space = {
            "lr": {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"},
            "x": {"type": "float", "low": 0, "high": 1},
            "kind": {"type": "categorical", "values": ["a", "b"]},
        }
        job = job_of(tmp_path, space=space)
        here = api.submit(job, "local", project=tmp_path, base=tmp_path)
        here.wait()
        assert here.best is not None
        for mode in ("managed", "driven") if self.keeps_the_seed else ("driven",):
            run = submit(job.model_copy(update={"mode": mode}))
            assert run.wait() is RunState.COMPLETED, run.events()
            assert [trial.parameters for trial in run.trials()] == [trial.parameters for trial in here.trials()]
            assert run.best is not None
            assert (run.best.number, run.best.metrics) == (here.best.number, here.best.metrics)

    @pytest.mark.complete
    def test_the_best_is_confirmed_by_other_seeds_as_on_this_machine(self, submit: Submit, tmp_path: Path) -> None:
        command, limits = {"command": "python train.py {seed}"}, {"trials": 10, "parallel": 2}
        job = job_of(tmp_path, SEEDED, trial=command, confirm=2, limits=limits)
        here = api.submit(job, "local", project=tmp_path, base=tmp_path)
        here.wait()
        run = submit(job)
        assert run.wait() is RunState.COMPLETED, run.events()
        repeats = [trial for trial in run.trials() if trial.repeat_of is not None]
        assert [trial.number for trial in repeats] == [4, 5, 6, 7, 8, 9]
        assert [round(trial.metrics["score"] * 100) % 100 for trial in repeats] == [4, 5, 6, 7, 8, 9], (
            "seeds of their own"
        )
        assert len(run.confirmed) == 3
        assert run.confirmed == here.confirmed
        assert run.best is not None
        assert here.best is not None
        assert (run.best.number, run.best.parameters) == (here.best.number, here.best.parameters)
        assert any("confirmed: the best is trial" in str(event) for event in run.events()), run.events()

    @pytest.mark.parametrize("mode", ["managed", "driven"])
    def test_what_is_printed_is_read_as_on_this_machine(self, mode: str, submit: Submit, tmp_path: Path) -> None:
        """In colour, in another case, over itself; and what was printed in the place of a metric is told."""
        job = job_of(tmp_path, PRINTING, mode=mode, limits={"trials": 2, "parallel": 1})
        here = api.prepare(job.model_copy(update={"mode": "auto"}), "local", project=tmp_path / "here", base=tmp_path)
        here.wait()
        there = submit(job)
        there.wait()
        for run in (here, there):
            good, bad = run.trials()
            assert (good.state, good.metrics) == (TrialState.COMPLETED, {"score": 0.25})
            assert bad.state is TrialState.FAILED
            assert bad.reason.endswith(
                "it ended without reporting the objective 'score'; it printed score=12.75ms, and that is no plain number; "
                "units need a space before them; the metrics seen were val_score (the nearest is val_score); "
                "print score=VALUE, call cloudtune.trial.report(score=VALUE), or give objective.regex"
            )

    def test_first_trials_that_fail_in_the_same_way_end_a_managed_job(self, submit: Submit, tmp_path: Path) -> None:
        """The fourth trial ends only when the job is stopped: nothing else can keep the rest from failing, too."""
        script = "import time, cloudtune.trial as t\nif t.number() >= 3:\n    time.sleep(120)\nraise SystemExit(3)\n"
        run = submit(job_of(tmp_path, script, mode="managed", limits={"trials": 8, "parallel": 1}))
        assert run.plan.mode == "managed"
        assert run.wait() is RunState.FAILED
        assert "its first 3 trials failed in the same way" in run.record.reason
        failed = [trial.number for trial in run.trials() if trial.state is TrialState.FAILED]
        assert failed == [0, 1, 2]
        assert len(run.trials()) <= 4, "no more are made"
        told = [message for _, number, message in run.events() if number is not None and message.startswith("failed")]
        assert len(told) == 1, "a repeated failure is told once"
        assert "trial 0 failed, and 2 more in the same way" in [message for _, _, message in run.events()]

    @pytest.mark.parametrize("mode", ["managed", "driven"])
    def test_what_a_trial_left_comes_back(self, mode: str, submit: Submit, tmp_path: Path) -> None:
        run = submit(job_of(tmp_path, mode=mode))
        run.wait()
        assert run.best is not None
        files = run.fetch(run.best.number, tmp_path / "model")
        assert [file.name for file in files] == ["model.txt"]
        assert float(files[0].read_text()) == run.best.parameters["x"]
        with pytest.raises(TrialError, match="no trial 77"):
            run.fetch(77, tmp_path / "model")

    def test_values_of_the_environment_reach_the_trial_and_nothing_that_is_kept(
        self, submit: Submit, tmp_path: Path
    ) -> None:
        script = "import os, cloudtune.trial as t\nt.report(score=float(os.environ['SECRET']))\n"
        run = submit(job_of(tmp_path, script, trial={"environment": {"SECRET": "0.87654321"}}))
        run.wait()
        assert run.best is not None
        assert run.best.metrics["score"] == 0.87654321
        kept = [path for path in (tmp_path / ".cloudtune").rglob("*") if path.is_file() and path.name != "log.txt"]
        assert not [
            path for path in kept if b"0.87654321" in path.read_bytes() and path.suffix not in (".db", ".db-wal")
        ]
        assert not (run.folder / "assets").exists()
        assert not (run.folder / "code").exists()

    @pytest.mark.complete
    @pytest.mark.parametrize("mode", ["managed", "driven"])
    def test_the_example_is_tuned_as_on_this_machine(self, mode: str, tmp_path: Path) -> None:
        pytest.importorskip("sklearn")
        example = Path(__file__).parents[2] / "examples" / "digits"
        shutil.copytree(example, tmp_path / "digits", ignore=shutil.ignore_patterns(".cloudtune"))
        options = ["--set", "strategy.type=random", "--set", f"mode={mode}", "--trials", "4", "--json", "--quiet"]

        def tuned(*place: str) -> Any:
            command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", *place, *options]
            done = subprocess.run(command, cwd=tmp_path / "digits", capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        there = tuned("--on", self.on, "--emulate")
        assert there["counts"].get("completed", 0) + there["counts"].get("pruned", 0) == 4
        assert 0.1 <= there["best"]["parameters"]["C"] <= 1e3
        assert there["best"]["metrics"]["accuracy"] > 0.5
        if mode == "driven" or self.keeps_the_seed:
            here = tuned("--on", "local")
            for part in ("number", "parameters", "metrics"):
                assert there["best"][part] == here["best"][part]

    def test_the_command_line_runs_a_job_in_an_emulator_of_its_own(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "job.yaml").write_text(job_of(tmp_path).to_yaml())
        emulated = ["run", "job.yaml", "--on", self.on, "--emulate"]
        assert run_app([*emulated, "--json", "--quiet"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["counts"] == {"completed": 4}
        best = result["best"]["number"]
        assert run_app(["logs", str(best)]) in (0, None)  # the emulator is gone, what was printed is not
        assert "step 3: score=" in capsys.readouterr().out
        assert run_app(["fetch", "latest", "-o", "model"]) in (0, None)
        assert float((tmp_path / "model" / "model.txt").read_text()) == result["best"]["parameters"]["x"]
        assert f"{self.variables}ENDPOINT" not in os.environ
        (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 1}).to_yaml())
        assert run_app([*emulated, "--quiet"]) == 0
        capsys.readouterr()
        assert run_app(["fetch", "latest", "-o", "nothing"]) != 0
        assert "trial 0 left no files" in capsys.readouterr().err

    # What may go wrong

    @pytest.mark.parametrize("mode", ["managed", "driven"])
    @pytest.mark.usefixtures("impatient")
    def test_throttling_and_lost_answers_make_no_job_twice(
        self, mode: str, emulator: Any, submit: Submit, tmp_path: Path
    ) -> None:
        faults = emulator.faults
        faults.throttle, faults.lost, faults.errors = 0.3, 0.1, 0.05
        run = submit(job_of(tmp_path, mode=mode, limits={"trials": 6, "parallel": 3}))
        assert run.wait() is RunState.COMPLETED, run.events()
        faults.throttle = faults.lost = faults.errors = 0.0
        assert faults.counts["throttle"] > 0
        trials = run.trials()
        assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 6, [trial.reason for trial in trials]
        assert all(trial.metrics["score"] == pytest.approx(3 * trial.parameters["x"]) for trial in trials)
        assert self.tuning_jobs(emulator) == (1 if mode == "managed" else 0)
        assert self.trial_jobs(emulator) == (0 if mode == "managed" else 6)

    def test_expired_credentials_stop_nothing_but_the_watching(
        self, emulator: Any, submit: Submit, tmp_path: Path
    ) -> None:
        run = submit(job_of(tmp_path, SLOW))
        emulator.faults.expired = 1.0
        with pytest.raises(CredentialError, match="log in again"):
            run.wait()
        emulator.faults.expired = 0.0
        assert run.wait() is RunState.COMPLETED
        assert len(run.trials()) == 4

    @pytest.mark.usefixtures("impatient")
    def test_an_outage_is_sat_out(self, emulator: Any, submit: Submit, tmp_path: Path) -> None:
        run = submit(job_of(tmp_path, SLOW))
        emulator.faults.errors, emulator.faults.operations = 1.0, [self.look]

        def mend(progress: Any) -> None:
            emulator.faults.errors = 0.0

        assert run.wait(mend) is RunState.COMPLETED
        assert emulator.faults.counts["error"] >= 12  # more than one call bears
        assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4

    def test_who_follows_may_be_killed_and_another_goes_on(self, emulator: Any, tmp_path: Path) -> None:
        (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 8}).to_yaml())
        follower = self._started(tmp_path)
        wait_until(
            lambda: (
                bool(api.runs(project=tmp_path))
                and any(trial.state.ended for trial in api.attach(project=tmp_path).trials())
            )
        )
        _kill(follower)
        run = api.attach(project=tmp_path)
        assert run.wait() is RunState.COMPLETED
        assert [trial.number for trial in run.trials()] == list(range(8))
        assert all(len(list(run.reports(trial.number))) == 1 for trial in run.trials())
        assert self.tuning_jobs(emulator) == 1

    def test_a_killed_driver_is_resumed_with_the_jobs_that_run(self, emulator: Any, tmp_path: Path) -> None:
        (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, mode="driven", limits={"trials": 6}).to_yaml())
        driver = self._started(tmp_path)
        wait_until(lambda: self.trial_jobs(emulator) >= 3)
        _kill(driver)
        run = api.attach(project=tmp_path).resume()
        assert run.wait() is RunState.COMPLETED, run.events()
        assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 6
        assert self.trial_jobs(emulator) == 6

    def _started(self, folder: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", self.on, "--quiet"]
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_another_machine_takes_a_job_in_by_its_name(self, submit: Submit, tmp_path: Path) -> None:
        space = {
            "x": {"type": "float", "low": 0, "high": 1},
            "k": {"type": "int", "low": 1, "high": 9, "step": 2, "when": {"m": ["a", "b"]}},
            "m": {"type": "categorical", "values": ["a", "b", "c"]},
        }
        run = submit(job_of(tmp_path, space=space, limits={"trials": 6}))
        run.wait()
        (tmp_path / "elsewhere").mkdir()
        name = run.record.native["job"]
        other = api.attach(name, self.on, project=tmp_path / "elsewhere")
        assert other.wait() is RunState.COMPLETED
        assert other.job == run.job
        assert [(t.parameters, t.metrics, t.state) for t in other.trials()] == [
            (t.parameters, t.metrics, t.state) for t in run.trials()
        ]
        assert api.attach(name, self.on, project=tmp_path / "elsewhere").id == other.id
        with pytest.raises(RunNotFound, match="no tuning job 'nothing'"):
            api.attach("nothing", self.on, project=tmp_path / "elsewhere")

    def test_an_sdk_that_is_not_installed_is_named_before_anything_is_done(
        self, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from cloudtune.errors import ConfigError
        from cloudtune.plugins.entry_points import aliases
        from cloudtune.provider.interface import load_provider

        provider = aliases()[self.on]
        monkeypatch.setattr(load_provider(provider), "sdk", ("not_there",))
        job = job_of(tmp_path)
        api.plan(job, self.on, project=tmp_path).refuse()
        with pytest.raises(ConfigError, match=rf"pip install .*\[{provider}\]"):
            submit(job)
        assert api.runs(project=tmp_path) == []
        assert run_app(["check", "--on", self.on]) == 1
        assert "not_there" in capsys.readouterr().out


class LiveRuns(CloudRuns):
    """What runs show besides on services that tell measurements at once, and whose own tuner has conditions."""

    @abstractmethod
    def roots(self, request: dict[str, Any]) -> list[str]:
        """The parameters of a request that hang on no other."""

    @abstractmethod
    def delete(self, emulator: Any, job: str) -> None:
        """Deletes a tuning job that has ended."""

    def test_what_is_measured_while_trials_run_is_seen_while_they_run(self, submit: Submit, tmp_path: Path) -> None:
        script = (
            "import pathlib, time, cloudtune.trial as t\n"
            "t.report(score=0.5, step=1)\n"
            f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists():\n"
            "    time.sleep(0.02)\n"
            "t.report(score=0.25, step=2)\n"
        )
        run = submit(job_of(tmp_path, script, limits={"trials": 1}))
        watch = run._provider.managed(run._store)  # type: ignore[attr-defined]  # a cloud's provider

        def reported() -> bool:
            watch.look()
            return [report.metrics["score"] for report in run.reports(0)] == [0.5]

        wait_until(reported)
        assert run.trials()[0].state is TrialState.RUNNING
        (tmp_path / "go").touch()
        assert run.wait() is RunState.COMPLETED
        assert [(report.step, report.metrics["score"]) for report in run.reports(0)] == [(1, 0.5), (2, 0.25)]
        assert run.best is not None
        assert run.best.metrics == {"score": 0.25}

    def test_conditions_are_the_services_own(self, submit: Submit, tmp_path: Path) -> None:
        self.see_conditions_kept(submit, tmp_path, "random")

    def see_conditions_kept(self, submit: Submit, tmp_path: Path, strategy: str) -> None:
        """Runs a job with conditions by the service's own tuner: each trial sees what it should, and nothing else."""
        script = "import json, cloudtune.trial as t\np = t.params()\nprint('P', json.dumps(p), flush=True)\nt.report(score=p.get('depth', p.get('rate', 0)))\n"
        space = {
            "model": {"type": "categorical", "values": ["tree", "line", 3]},
            "depth": {"type": "int", "low": 1, "high": 5, "when": {"model": "tree"}},
            "rate": {"type": "float", "low": 0.1, "high": 0.9, "when": {"model": ["line", 3]}},
            "bend": {"type": "constant", "value": "k"},
        }  # fmt: skip
        run = submit(job_of(tmp_path, script, space=space, strategy={"type": strategy}, limits={"trials": 8}))
        assert run.wait() is RunState.COMPLETED, run.events()
        assert self.roots(run.plan.request) == ["model"]
        for trial in run.trials():
            child = "depth" if trial.parameters["model"] == "tree" else "rate"
            assert set(trial.parameters) == {"model", child, "bend"}
            seen = next(line for line in run.logs(trial.number) if line.startswith("P "))
            assert json.loads(seen[2:]) == trial.parameters

    def test_an_earlier_run_warms_a_driven_one(self, submit: Submit, tmp_path: Path) -> None:
        first = submit(job_of(tmp_path))
        first.wait()
        second = submit(job_of(tmp_path, strategy={"type": "bayesian", "seed": 1}, warm_start={"runs": [first.id]}))
        assert second.wait() is RunState.COMPLETED, second.events()
        assert second.plan.mode == "driven"

    def test_a_deleted_job_ends_the_run(self, emulator: Any, submit: Submit, tmp_path: Path) -> None:
        run = submit(job_of(tmp_path))
        emulator.wait(run.record.native["job"], 60)
        self.delete(emulator, run.record.native["job"])
        assert run.wait() is RunState.CANCELLED
        assert "deleted" in run.record.reason


def _kill(process: "subprocess.Popen[bytes]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
