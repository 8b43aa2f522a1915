"""The Python API: what is imported when, tune, and what a provider's author relies on."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data

import cloudtune
from cloudtune import Categorical, Float, Int, RunState, TrialState, TuningJob, api, tune
from cloudtune.errors import ConfigError, SpecError
from cloudtune.planning.plan import Plan, Support
from cloudtune.provider.interface import load_provider

README = Path(__file__).parents[1] / "README.md"


def test_importing_cloudtune_loads_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import cloudtune; print(len({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_no_cloud_sdk_and_no_numpy_is_loaded_for_a_plan() -> None:
    code = (
        "import sys; from cloudtune import TuningJob, plan; import json\n"
        "plan(TuningJob.from_yaml(open('job.yaml').read()), 'local')\n"
        "print(sorted({'boto3', 'sagemaker', 'google.auth', 'azure', 'ray', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    folder = README.parent / "examples" / "digits"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    for name in cloudtune.__all__:
        assert getattr(cloudtune, name) is not None
    assert set(cloudtune.__all__) <= set(dir(cloudtune))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = cloudtune.nothing_of_the_kind  # type: ignore[attr-defined]


def test_a_lambda_is_tuned_by_a_pool_of_workers(tmp_path: Path) -> None:
    run = tune(
        lambda x, k: x * k,
        {"x": Float(low=0, high=1), "k": Int(low=1, high=3)},
        maximize="v",
        trials=30,
        parallel=2,
        project=tmp_path,
    )
    assert run.state is RunState.COMPLETED
    assert [trial.metrics["v"] for trial in run.trials()] == [
        t.parameters["x"] * t.parameters["k"] for t in run.trials()
    ]
    assert run.best.metrics["v"] > 2
    frame = run.to_pandas()
    assert list(frame["metrics_v"]) == [trial.metrics["v"] for trial in run.trials()]
    assert list(frame.columns)[:4] == ["number", "state", "params_x", "params_k"]


@pytest.mark.parametrize("isolate", [False, True])
def test_functions_report_print_fail_crash_and_hang_alone(tmp_path: Path, isolate: bool) -> None:
    def fate(what: str) -> dict[str, float] | None:
        import os
        import signal
        import time

        import cloudtune.trial as trial

        print("doing", what)
        if what == "raise":
            raise RuntimeError("no luck")
        if what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "hang":
            time.sleep(600)
        if what == "exit":
            raise SystemExit(4)
        if what == "report":
            for step in range(1, 4):
                trial.report(score=float(step), step=step)
            return None
        return {"score": 1.0, "other": 2.0}

    fates = ("raise", "crash", "hang", "exit", "report", "return")
    run = tune(
        fate, {"what": Categorical(values=fates)}, maximize="score", strategy="grid", parallel=2, isolate=isolate,
        limits={"trial_time": "1s"}, local={"grace": 0.1}, project=tmp_path,
    )  # fmt: skip
    trials = {trial.parameters["what"]: trial for trial in run.trials()}
    assert trials["report"].metrics == {"score": 3.0}
    assert [report.step for report in run.reports(trials["report"].number)] == [1, 2, 3]
    assert trials["return"].metrics == {"score": 1.0, "other": 2.0}
    assert "no luck" in trials["raise"].reason
    assert "SIGSEGV" in trials["crash"].reason
    assert "trial_time" in trials["hang"].reason
    assert trials["exit"].state is TrialState.FAILED
    assert all(
        next(iter(run.logs(trial.number))) == f"doing {what}"
        for what, trial in trials.items()
        if what in ("report", "return")
    )


def test_pruning_stops_a_worker_and_another_takes_its_place(tmp_path: Path) -> None:
    def climb(x: float) -> None:
        import time

        import cloudtune.trial as trial

        for step in range(1, 41):
            trial.report(score=x * step, step=step)
            time.sleep(0.01)

    run = tune(
        climb, {"x": Float(low=0, high=1)}, maximize="score", trials=8, parallel=2, strategy={"type": "random", "seed": 4},
        stopping={"type": "bandit", "slack_factor": 0.05, "grace": 2}, project=tmp_path,
    )  # fmt: skip
    states = [trial.state for trial in run.trials()]
    assert TrialState.PRUNED in states
    assert set(states) <= {TrialState.PRUNED, TrialState.COMPLETED}


def test_an_interrupted_tune_goes_on_under_its_id(tmp_path: Path) -> None:
    space = {"x": Float(low=0, high=1)}
    first = tune(
        lambda x: x,
        space,
        maximize="s",
        trials=5,
        project=tmp_path,
        run_id="mine",
        strategy={"type": "random", "seed": 1},
    )
    again = tune(
        lambda x: x,
        space,
        maximize="s",
        trials=5,
        project=tmp_path,
        run_id="mine",
        strategy={"type": "random", "seed": 1},
    )
    assert again.trials() == first.trials()
    assert len(api.runs(project=tmp_path)) == 1


def test_mistakes_in_a_call_of_tune_are_told_like_those_in_yaml(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as wrong:
        tune(lambda x: x, {"x": {"type": "flaot", "low": 0, "high": 1}}, minimize="s", trials=0, project=tmp_path)
    paths = {problem.path for problem in wrong.value.problems}
    assert "limits.trials" in paths
    assert any(path.startswith("space.x") for path in paths)


def test_several_objectives_of_mixed_goals(tmp_path: Path) -> None:
    run = tune(
        lambda x: {"a": x, "b": x * x},
        {"x": Float(low=0, high=1)},
        maximize="a",
        minimize="b",
        trials=12,
        project=tmp_path,
    )
    assert run.best is None
    assert len(run.front) == 12


def test_random_numbers_of_isolated_trials_differ(tmp_path: Path) -> None:
    def draw(x: float) -> float:
        import random

        return random.random()

    run = tune(draw, {"x": Float(low=0, high=1)}, maximize="s", trials=4, isolate=True, project=tmp_path)
    assert len({trial.metrics["s"] for trial in run.trials()}) == 4


def test_warm_start_learns_from_an_earlier_run(tmp_path: Path) -> None:
    space = {"x": Float(low=0, high=1)}
    first = tune(lambda x: (x - 0.3) ** 2, space, minimize="s", trials=12, project=tmp_path)
    second = tune(lambda x: (x - 0.3) ** 2, space, minimize="s", trials=3, project=tmp_path, warm_start=[first.id])
    assert any("learnt from 12 of 12" in message for _, _, message in second.events())


def test_a_provider_that_is_not_there_says_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no provider 'nobody'; known are: .*local"):
        load_provider("nobody")
    missing = EntryPoint("broken", "no_such_package_at_all:Provider", "cloudtune.providers")
    monkeypatch.setattr("cloudtune.plugins.loading.find", lambda group, name: missing)
    with pytest.raises(ConfigError, match=r"pip install .*\[broken\]"):
        load_provider("broken")


def test_plans_are_plain_data_and_know_their_worst(tmp_path: Path) -> None:
    job = TuningJob.from_yaml(README.parent / "examples" / "digits" / "job.yaml")
    plan = api.plan(job, "local")
    assert Plan.from_data(plan.to_data()) == plan
    assert plan.support("space.C.low") is Support.EXACT
    assert plan.support("nothing.of.the.kind") is None


def test_python_and_yaml_say_the_same() -> None:
    data: dict[str, Any] = plain_data(
        objective={"metric": "m", "goal": "minimize"},
        space={"x": Float(low=0, high=1).model_dump()},
        limits={"trials": 1},
    )
    assert TuningJob.from_yaml(TuningJob.from_data(data).to_yaml()) == TuningJob.model_validate(data)
