"""The conformance suite: what every provider must do."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from cloudtune import api
from cloudtune.config import load_profile
from cloudtune.errors import TrialError, UnsupportedError
from cloudtune.planning.plan import Support, leaves
from cloudtune.provider.interface import Finding, Provider, load_provider
from cloudtune.provider.preparing import planned
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.testing import scripts
from cloudtune.testing.carried import unfounded
from cloudtune.testing.specs import jobs
from cloudtune.testing.submitting import submitting

X = {"type": "float", "low": 0.0, "high": 1.0}


def wait_until(condition: Callable[[], bool], *, seconds: float = 180.0) -> None:
    """Wait for a condition that other processes make true; fail the test after `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it did not happen within {seconds} seconds"
        threading.Event().wait(0.02)


_GENERATED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,  # a provider's suite then fails only for its author's changes
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],  # explaining takes minutes for large plans
}
"""Settings of Hypothesis for tests of generated jobs."""


OPTIONAL = ("stopping", "retries", "mode", "constraints", "first")
"""Fields that a provider may refuse: a service's tuner without such a feature, and without plain jobs to drive instead."""


class ProviderConformance:
    """The tests of a provider: inherit it and add the fixture `on`; override other fixtures where needed."""

    @pytest.fixture
    def on(self) -> str:
        """Return the profile or provider to test."""
        raise NotImplementedError("give your test class a fixture `on` that returns the provider's name")

    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        """Return the fields that every job needs on this provider, such as an image or a role."""
        return {}

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        """Return the folder of the store, with a folder ``src`` for the script."""
        (tmp_path / "src").mkdir()
        return tmp_path

    @pytest.fixture
    def provider(self, on: str, project: Path) -> Provider:
        """Return the provider under test."""
        profile = load_profile(on, project)
        return load_provider(profile.provider)(profile.settings)

    @pytest.fixture
    def job(self, project: Path, extras: dict[str, Any]) -> Callable[..., TuningJob]:
        """Return a maker of jobs of a script: 4 random trials of x in [0, 1], 2 at once, unless fields say otherwise."""

        def make(script: str, **fields: Any) -> TuningJob:  # any field of the job
            (project / "src" / "train.py").write_text(script)
            own = {"source": "src", "command": "python train.py"}
            data = {
                "name": "conformance",
                "trial": {**own, **extras.get("trial", {}), **fields.pop("trial", {})},
                "objective": {"metric": "score", "goal": "maximize"},
                "space": {"x": X},
                "strategy": {"type": "random", "seed": 3},
                "limits": {"trials": 4, "parallel": 2, **extras.get("limits", {}), **fields.pop("limits", {})},
                **{name: value for name, value in extras.items() if name not in ("trial", "limits")},
                **fields,
            }
            return TuningJob.from_data(data)

        return make

    @pytest.fixture
    def submit(self, on: str, project: Path) -> Iterator[Callable[[TuningJob], Run]]:
        """Yield a function that submits a job; cancel all submitted runs after the test."""
        with submitting(project, on) as submit:
            yield submit

    @pytest.fixture
    def finish(self, on: str, project: Path, extras: dict[str, Any], provider: Provider) -> Callable[[TuningJob], Run]:
        """Return a function that runs a job to its end in this process: another one would import the SDK first.

        It skips the test of an optional field that the provider's plan refuses; see `OPTIONAL`.
        """

        def finish_one(job: TuningJob) -> Run:
            refused = [note for note in provider.plan(job).notes if note.support is Support.UNSUPPORTED]
            if refused and all(note.path.partition(".")[0] in OPTIONAL for note in refused):
                pytest.skip("; ".join(f"{note.path}: {note.message}" for note in refused))
            run = api.prepare(job, on, project=project, base=project)
            run.wait()
            assert run.plan.mode == extras.get("mode", run.plan.mode)
            return run

        return finish_one

    # Plans

    @given(job=jobs())
    @settings(max_examples=15, **_GENERATED)
    def test_a_plan_accounts_for_every_leaf_of_the_spec(self, provider: Provider, job: TuningJob) -> None:
        _, plan = planned(provider, job)
        lost = [path for path, _ in leaves(job) if plan.support(path) is None]
        assert not lost, f"neither in the request nor in a note: {lost}"
        forgotten = [note.path for note in plan.notes if "has no translation for this field" in note.message]
        assert not forgotten, f"the provider's translation does not know these fields: {forgotten}"

    @given(job=jobs())
    @settings(max_examples=8, **_GENERATED)
    def test_what_a_plan_carries_exactly_is_in_the_request(self, provider: Provider, job: TuningJob) -> None:
        problems = unfounded(provider.plan, job)
        assert not problems, "\n".join(problems)

    @given(job=jobs())
    @settings(max_examples=8, **_GENERATED)
    def test_a_plan_is_pure_and_is_plain_data(self, provider: Provider, job: TuningJob) -> None:
        with _no_network():
            plan = provider.plan(job)
        assert provider.plan(job) == plan
        assert type(plan).from_data(json.loads(json.dumps(plan.to_data()))) == plan
        assert plan.mode in ("managed", "driven")

    @given(job=jobs())
    @settings(max_examples=8, **_GENERATED)
    def test_a_note_says_something_and_is_never_exact(self, provider: Provider, job: TuningJob) -> None:
        for note in provider.plan(job).notes:
            assert note.support is not Support.EXACT
            assert note.message.strip()
            assert note.path

    @given(job=jobs())
    @settings(max_examples=8, **_GENERATED)
    def test_a_job_is_ported_once_and_no_field_is_lost(self, provider: Provider, job: TuningJob) -> None:
        with _no_network():
            adapted = provider.adapt(job)
        assert provider.adapt(adapted.job).job == adapted.job
        plan = adapted.on(provider.plan(adapted.job))
        lost = [path for path, _ in leaves(job) if plan.support(path) is None]
        assert not lost, f"changed by `adapt` without a note: {lost}"

    def test_a_service_knows_its_own_words(self, provider: Provider) -> None:
        words = provider.words
        if words is None:
            pytest.skip("jobs are taken as they are written")
        assert words.provider == provider.name
        place = words.examples["place"].replace("…", "corp")
        assert words.reads(place)
        assert words.writes(place)
        assert words.knows("place", place)
        assert words.examples["image"]

    def test_no_value_of_the_environment_is_in_a_plan_or_in_the_store(
        self, job: Any, finish: Any, provider: Provider
    ) -> None:
        secret = "0.123456789"  # noqa: S105  # only in this test
        tuning = job(scripts.SHOWS_ENVIRONMENT, trial={"environment": {"MAGIC": secret}}, limits={"trials": 1})
        assert secret not in json.dumps(provider.plan(tuning).to_data())
        run = finish(tuning)
        assert run.best is not None, run.events()
        assert run.best.metrics["score"] == float(secret), "the variable should reach the trial"
        assert secret not in run.record.job + run.record.plan + json.dumps(dict(run.record.native))

    def test_strict_refuses_whatever_is_below_encoded(
        self, job: Any, provider: Provider, on: str, project: Path
    ) -> None:
        tuning = job(
            scripts.QUADRATIC,
            strict=True,
            compute={"instance": "any", "spot": True},
            retries=2,
            limits={"failed": 1},
        )
        bad = [note for note in provider.plan(tuning).notes if note.support.rank > Support.ENCODED.rank]
        if bad:
            with pytest.raises(UnsupportedError) as refused:
                api.submit(tuning, on, project=project, base=project)
            assert {problem.path for problem in refused.value.problems} == {note.path for note in bad}
            assert not api.runs(project=project)

    # Runs

    def test_a_job_runs_to_its_end(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.QUADRATIC, limits={"trials": 6}))
        trials = run.trials()
        assert run.state is RunState.COMPLETED, run.record.reason
        assert [trial.number for trial in trials] == list(range(6))
        assert all(trial.state is TrialState.COMPLETED for trial in trials), [trial.reason for trial in trials]
        assert all(0 <= trial.parameters["x"] <= 1 for trial in trials)
        assert len({trial.parameters["x"] for trial in trials}) == 6
        for trial in trials:
            assert trial.metrics["score"] == pytest.approx(1 - (trial.parameters["x"] - 0.3) ** 2)
            assert trial.started is not None
            assert trial.ended is not None
            assert trial.started <= trial.ended
        assert run.best == max(trials, key=lambda trial: trial.metrics["score"])

    def test_a_script_that_knows_nothing_of_cloudtune_works(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.UNAWARE, metrics={"loss": r"loss = ([-+.e\d]+)"}))
        for trial in run.trials():
            assert trial.state is TrialState.COMPLETED, trial.reason
            assert trial.metrics["score"] == pytest.approx(1 - (trial.parameters["x"] - 0.3) ** 2)
            assert trial.metrics["loss"] == pytest.approx(abs(trial.parameters["x"]), rel=1e-5)

    def test_the_trial_sees_exactly_the_parameters_of_the_spec(self, job: Any, finish: Any) -> None:
        space = {
            "rate": {"type": "float", "low": 1e-6, "high": 1.0, "scale": "log"},
            "step": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.2},
            "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
            "kind": {"type": "categorical", "values": ["", "a b", "it's", "1", 1, 2.5, True, None]},
            "size": {"type": "ordinal", "values": [16, 32, 64]},
            "noise": {"type": "normal", "mean": 0.0, "std": 2.0},
            "momentum": {"type": "float", "low": 0.0, "high": 0.99, "scale": "reverse_log"},
            "epochs": {"type": "constant", "value": 3},
            "sub": {"type": "int", "low": 1, "high": 3, "when": {"size": [16, 32]}},
        }
        run = finish(job(scripts.ECHO, space=space, limits={"trials": 8}))
        for trial in run.trials():
            assert trial.state is TrialState.COMPLETED, trial.reason
            line = next(line for line in run.logs(trial.number) if line.startswith("PARAMETERS "))
            seen = json.loads(line.removeprefix("PARAMETERS "))
            assert seen == trial.parameters
            words = next(line for line in run.logs(trial.number) if line.startswith("ARGUMENTS "))
            if isinstance(seen["kind"], str):
                options = json.loads(words.removeprefix("ARGUMENTS "))
                assert options[options.index("--kind") + 1] == seen["kind"]
            assert {name: type(value) for name, value in seen.items()} == {
                name: type(value) for name, value in trial.parameters.items()
            }
            assert ("sub" in seen) == (seen["size"] in (16, 32))
        assert run.job.search_space().contains(run.trials()[0].parameters)

    def test_the_source_folder_travels(self, job: Any, finish: Any, project: Path) -> None:
        tuning = job(scripts.IMPORTS_NEIGHBOUR, limits={"trials": 1})
        (project / "src" / "neighbour.py").write_text("SCORE = 4.5\n")
        assert finish(tuning).best.metrics == {"score": 4.5}

    def test_data_reaches_the_trial(self, job: Any, finish: Any, project: Path) -> None:
        (project / "data").mkdir()
        (project / "data" / "number.txt").write_text("7.25")
        assert finish(job(scripts.READS_DATA, data={"train": "data"}, limits={"trials": 1})).best.metrics == {
            "score": 7.25
        }

    # What goes wrong

    def test_a_failed_trial_is_lost_alone_and_says_why(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.FAILS_ABOVE_HALF, limits={"trials": 8, "failed": 99}))
        failed = [trial for trial in run.trials() if trial.parameters["x"] > 0.5]
        assert failed
        assert all(trial.state is TrialState.FAILED and "code 1" in trial.reason for trial in failed)
        assert all(trial.state is TrialState.COMPLETED for trial in run.trials() if trial not in failed)
        assert run.state is RunState.COMPLETED
        assert any("which is too much" in line for line in run.logs(failed[0].number))

    def test_a_trial_without_a_usable_objective_has_failed(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.REPORTS_NAN, limits={"trials": 6, "failed": 99}))  # the first may fail alike by chance
        for trial in run.trials():
            expected = TrialState.FAILED if trial.parameters["x"] > 0.5 else TrialState.COMPLETED
            assert trial.state is expected
            assert ("nan" in trial.reason) == (expected is TrialState.FAILED)
        run = finish(job(scripts.REPORTS_NOTHING, limits={"trials": 2}))
        assert run.state is RunState.FAILED
        assert run.best is None
        assert all("score" in trial.reason for trial in run.trials())

    def test_a_broken_trial_is_tried_again(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.FAILS_AT_FIRST, retries=1, limits={"trials": 3}))
        assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 3
        assert [trial.attempt for trial in run.trials()] == [2, 2, 2]

    def test_too_many_failures_fail_the_run(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.REPORTS_NOTHING, limits={"trials": 60, "failed": 2}))
        assert run.state is RunState.FAILED
        assert "failed" in run.record.reason
        assert 2 <= len(run.trials()) < 40  # a service continues until the client has seen the failures

    def test_a_hung_trial_ends_at_its_time_limit(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.HANGS, limits={"trials": 2, "trial_time": "1s"}, **self.quick_to_kill))
        assert all(trial.state is TrialState.FAILED and "trial_time" in trial.reason for trial in run.trials())

    quick_to_kill: dict[str, Any] = {}
    """Fields that shorten the grace time before a trial is killed, where the provider has one."""

    # Ends

    def test_a_reached_target_ends_the_run(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.QUADRATIC, limits={"trials": 200, "target": 0.9, "parallel": 1}))
        assert run.state is RunState.COMPLETED
        assert "target" in run.record.reason
        assert run.best.metrics["score"] >= 0.9
        assert len(run.trials()) < 50

    def test_no_improvement_ends_the_run(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.ECHO, limits={"trials": 200, "no_improvement": 5, "parallel": 1}))
        assert run.state is RunState.COMPLETED
        assert "no improvement" in run.record.reason
        assert len(run.trials()) < 20

    def test_the_stopping_rule_prunes_what_does_badly(self, job: Any, finish: Any) -> None:
        run = finish(
            job(
                scripts.CURVE,
                stopping={"type": "bandit", "slack_factor": 0.1, "grace": 2},
                limits={"trials": 6},
                **self.quick_to_kill,
            )
        )
        states = {state: [trial for trial in run.trials() if trial.state is state] for state in TrialState}
        assert states[TrialState.PRUNED]
        assert states[TrialState.COMPLETED]
        assert len(states[TrialState.PRUNED]) + len(states[TrialState.COMPLETED]) == 6
        assert run.best.parameters["x"] == max(trial.parameters["x"] for trial in run.trials())
        assert all("bandit" in trial.reason for trial in states[TrialState.PRUNED])

    def test_paused_trials_go_on_from_their_checkpoints(self, job: Any, finish: Any) -> None:
        rule = {"type": "asha", "max_resource": 20, "resume": "checkpoint"}
        run = finish(job(scripts.GOES_ON, stopping=rule, **self.quick_to_kill))
        trials = run.trials()
        assert {trial.state for trial in trials} == {TrialState.COMPLETED, TrialState.PRUNED}
        assert run.best.parameters["x"] == max(trial.parameters["x"] for trial in trials)
        assert run.best.attempt > 1
        for trial in trials:
            steps: dict[int, list[int]] = {}
            for report in run.reports(trial.number):
                steps.setdefault(report.attempt, []).append(report.step)
            for earlier, later in pairwise(steps.values()):
                assert later[0] in (earlier[-1], earlier[-1] + 1)  # the last one may not have been kept
        assert all("asha" in trial.reason for trial in trials if trial.state is TrialState.PRUNED)

    def test_a_population_goes_on_from_checkpoints_of_its_best(self, provider: Provider, job: Any, finish: Any) -> None:
        strategy = {"type": "population", "seed": 3, "members": 2, "interval": 10, "max_resource": 20, "resample": 0.0}
        tuning = job(scripts.GOES_ON, strategy=strategy, **self.quick_to_kill)
        if provider.plan(tuning).mode != "driven":
            pytest.skip("a service's own tuner has its own way of going on from checkpoints")
        run = finish(tuning)
        best, worst, child = sorted(run.trials(), key=lambda trial: (trial.parent is not None, -trial.parameters["x"]))
        assert (best.state, worst.state, child.state) == (
            TrialState.COMPLETED,
            TrialState.PRUNED,
            TrialState.COMPLETED,
        )
        assert child.parent == best.number
        near = [best.parameters["x"] * factor for factor in (0.8, 1.2)]
        assert any(child.parameters["x"] == pytest.approx(min(each, 1.0)) for each in near)
        inherited = [report.step for report in run.reports(best.number) if report.attempt == 1][-1]
        assert next(run.reports(child.number)).step in (inherited, inherited + 1)

    def test_cancel_ends_the_run_and_its_trials(self, job: Any, submit: Any) -> None:
        run = submit(job(scripts.HANGS, **self.quick_to_kill))
        wait_until(lambda: _count(run, TrialState.RUNNING) == 2)
        run.cancel()
        assert run.wait() is RunState.CANCELLED
        assert {trial.state for trial in run.trials()} <= {TrialState.CANCELLED, TrialState.COMPLETED}
        assert _count(run, TrialState.CANCELLED) >= 2

    # The handle

    def test_an_attached_run_is_the_same_run(self, job: Any, finish: Any, project: Path) -> None:
        run = finish(job(scripts.QUADRATIC))
        other = api.attach(run.id, project=project)
        assert other.trials() == run.trials()
        assert other.best == run.best
        assert other.job == run.job
        assert [record.id for record in api.runs(project=project)] == [run.id]

    def test_submitting_twice_under_one_id_makes_one_run(self, job: Any, on: str, project: Path) -> None:
        tuning = job(scripts.QUADRATIC)
        first = api.submit(tuning, on, project=project, base=project, run_id="only-one")
        second = api.submit(tuning, on, project=project, base=project, run_id="only-one")
        assert first.wait() is RunState.COMPLETED
        assert second.wait() is RunState.COMPLETED
        assert len(api.runs(project=project)) == 1
        assert [trial.attempt for trial in second.trials()] == [1, 1, 1, 1]

    def test_a_driven_run_takes_trials_of_the_users_own_and_goes_on_after_its_end(self, job: Any, finish: Any) -> None:
        run = finish(job(scripts.QUADRATIC, first=[{"x": 0.25}], limits={"trials": 2}))
        assert run.state is RunState.COMPLETED, run.record.reason
        assert run.enqueue({"x": 0.75}) is RunState.COMPLETED
        assert run.extend(trials=1).wait() is RunState.COMPLETED, run.events()
        trials = run.trials()
        assert [trial.origin for trial in trials] == ["first", "", "tried"]
        assert [trial.attempt for trial in trials] == [1, 1, 1], "what had ended should not run again"
        assert all(trial.state is TrialState.COMPLETED for trial in trials), [trial.reason for trial in trials]
        for number, x in ((0, 0.25), (2, 0.75)):
            assert trials[number].parameters["x"] == x
            assert trials[number].metrics["score"] == pytest.approx(1 - (x - 0.3) ** 2)
        assert run.job.limits.trials == 3
        assert run.enqueued == []

    def test_logs_are_followed_to_the_end_of_the_trial(self, job: Any, submit: Any) -> None:
        run = submit(
            job(
                "import time\nfor i in range(8):\n    print('line', i, flush=True)\n    time.sleep(0.1)\nprint('score=1')\n"
            )
        )
        wait_until(lambda: any(trial.attempt > 0 for trial in _looked_at(run)))
        assert list(run.logs(0, follow=True)) == [*(f"line {i}" for i in range(8)), "score=1"]
        with pytest.raises(TrialError, match="no trial 999"):
            list(run.logs(999))

    def test_every_report_is_kept_in_order(self, job: Any, finish: Any) -> None:
        script = "import cloudtune.trial as t\nfor i in range(50):\n    t.report(score=float(i), step=i + 1)\n"
        run = finish(job(script, limits={"trials": 2}))
        for trial in run.trials():
            assert [(report.step, report.metrics["score"]) for report in run.reports(trial.number)] == [
                (step + 1, float(step)) for step in range(50)
            ]
            assert trial.metrics == {"score": 49.0}

    def test_several_objectives_give_a_front(self, job: Any, finish: Any) -> None:
        script = "import cloudtune.trial as t\nx = t.params()['x']\nt.report(score=x, size=x * x)\n"
        objective = [{"metric": "score", "goal": "maximize"}, {"metric": "size", "goal": "minimize"}]
        run = finish(job(script, objective=objective))
        assert run.best is None
        assert [trial.number for trial in run.front] == [0, 1, 2, 3]

    def test_the_best_trial_keeps_the_constraints(self, job: Any, finish: Any) -> None:
        constraints = [{"metric": "size", "max": "800B", "regex": r"took (\S+) bytes"}, {"metric": "depth", "min": 0}]
        run = finish(job(scripts.CONSTRAINED, constraints=constraints))
        measured = [trial.metrics for trial in run.trials()]
        assert measured == [
            {"score": x, "size": 1000 * x, "depth": x - 0.1} for x in (each["score"] for each in measured)
        ]
        kept = [each["score"] for each in measured if 0.1 <= each["score"] <= 0.8]
        assert (run.best and run.best.metrics["score"]) == max(kept, default=None)
        assert (run.nearest is None) == bool(kept)

    def test_the_same_seed_gives_the_same_trials(self, provider: Provider, job: Any, finish: Any) -> None:
        one = job(scripts.QUADRATIC)
        if provider.plan(one).support("strategy.seed") is not Support.EXACT:  # the service's own tuner has no seed
            one = job(scripts.QUADRATIC, mode="driven")
        first, second = (finish(one) for _ in range(2))
        assert _parameters(first.trials()) == _parameters(second.trials())

    def test_check_says_what_is_there_and_what_is_not(self, provider: Provider) -> None:
        findings = provider.check()
        assert findings
        assert all(isinstance(finding, Finding) and finding.subject and finding.message for finding in findings)


def _parameters(trials: list[Trial]) -> list[dict[str, Any]]:
    return [trial.parameters for trial in trials]


def _count(run: Run, state: TrialState) -> int:
    return sum(trial.state is state for trial in _looked_at(run))


def _looked_at(run: Run) -> list[Trial]:
    """Return the trials after a refresh, since only `Run.refresh` and `Run.wait` ask the service."""
    run.refresh()
    return run.trials()


class _no_network:  # noqa: N801  # reads as a phrase
    """Make connecting a socket fail within the context."""

    def __enter__(self) -> None:
        self._connect = socket.socket.connect

        def refuse(*_: object) -> None:
            raise AssertionError("a plan must not use the network")

        socket.socket.connect = refuse  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        socket.socket.connect = self._connect  # type: ignore[method-assign]


__all__ = ["ProviderConformance", "wait_until"]
