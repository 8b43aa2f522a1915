"""What Katib is told of a job: the Experiment, and notes; without the client and without a cluster."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from cloudtune.errors import UnsupportedError
from cloudtune.interop.formats import load_format
from cloudtune.planning.plan import Plan, Support
from cloudtune.spec.job import TuningJob
from cloudtune_kubernetes.container import Container
from cloudtune_kubernetes.katib.experiment import experiment_name
from cloudtune_kubernetes.katib.space import codec_of
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.translate import translate

X = {"type": "float", "low": 0.0, "high": 1.0}
RATE = {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"}
PRINTS = {"spec": {"containers": [{"name": "trial", "command": ["python", "/train.py"]}]}}


def plan(settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    data = {
        "name": "j",
        "trial": {"source": "src", "command": "python train.py", "image": "own:1", **fields.pop("trial", {})},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": X},
        "limits": {"trials": 9, "parallel": 3, **fields.pop("limits", {})},
        "mode": "managed",
        **fields,
    }
    return translate(TuningJob.from_data(data), KubernetesSettings.of(settings or {}, "kubernetes"))


def spec(settings: dict[str, Any] | None = None, **fields: Any) -> Any:
    found = plan(settings, **fields)
    found.refuse()
    return dict(found.request)["spec"]


def trial(**fields: Any) -> Any:
    return spec(**fields)["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]


def variables(**fields: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in trial(**fields)["env"] if "value" in each}


@pytest.mark.parametrize(
    ("settings", "mode", "found"),
    [({}, "auto", "driven"), ({"katib": True}, "auto", "managed"), ({}, "managed", "managed"), ({"katib": True}, "driven", "driven")],
)  # fmt: skip
def test_a_job_is_an_experiment_where_it_or_the_profile_asks_for_katib(settings: Any, mode: str, found: str) -> None:
    made = plan(settings, mode=mode)
    assert (made.mode, made.request["kind"]) == (found, {"managed": "Experiment", "driven": "Job"}[found])


def test_values_travel_in_a_variable_and_reports_in_a_file_that_katib_collects() -> None:
    values = json.loads(variables(space={"x": X, "n": {"type": "constant", "value": 3}})["CLOUDTUNE_VALUES"])
    assert values == {"x": "${trialParameters.x}", "n": "3"}
    made = spec(metrics={"loss": r"loss (\S+)"})
    file = {"path": variables()["CLOUDTUNE_METRICS"], "kind": "File", "format": "JSON"}
    assert made["metricsCollectorSpec"] == {"collector": {"kind": "File"}, "source": {"fileSystemPath": file}}
    assert made["objective"]["additionalMetricNames"] == ["loss"]
    assert made["objective"]["metricStrategies"][0] == {"name": "score", "value": "latest"}


def test_reports_within_a_second_have_times_that_katibs_collector_keeps_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a number it takes the digits behind the point for nanoseconds (file-metricscollector.go): .9 would be before .123456."""
    monkeypatch.setenv("CLOUDTUNE_METRICS", str(tmp_path / "m" / "metrics.log"))
    sink = Container().sink()
    assert sink is not None
    for step, moment in enumerate((1764347000.123456, 1764347000.9, 1764347001.0), 1):
        sink(step, moment, {"loss": 1 / step, "bad": float("nan")})
    lines = [json.loads(line) for line in (tmp_path / "m" / "metrics.log").read_text().splitlines()]
    times = ["2025-11-28T16:23:20.123456Z", "2025-11-28T16:23:20.900000Z", "2025-11-28T16:23:21.000000Z"]
    assert [line["timestamp"] for line in lines] == times == sorted(times)
    assert [line["loss"] for line in lines] == ["1.0", "0.5", "0.3333333333333333"]
    assert all("bad" not in line for line in lines)


@pytest.mark.parametrize(
    ("strategy", "algorithm"),
    [
        ({"type": "random", "seed": 3}, {"algorithmName": "random", "algorithmSettings": [{"name": "random_state", "value": "3"}]}),
        ({"type": "bayesian", "startup": 4}, {"algorithmName": "bayesianoptimization", "algorithmSettings": [{"name": "n_initial_points", "value": "4"}]}),
        ({"type": "sobol"}, {"algorithmName": "sobol"}),
        ({"type": "evolutionary"}, {"algorithmName": "cmaes"}),
        ({"type": "hyperopt"}, {"algorithmName": "tpe"}),
        ({"type": "optuna", "options": {"multivariate": True}}, {"algorithmName": "multivariate-tpe"}),
        ({"type": "grid", "levels": 3}, {"algorithmName": "grid"}),
    ],
)  # fmt: skip
def test_each_strategy_is_an_algorithm_of_katibs(strategy: Any, algorithm: Any) -> None:
    assert spec(strategy=strategy, space={"x": X, "y": X})["algorithm"] == algorithm


def test_a_sampler_of_optunas_is_said_to_be_katibs_own() -> None:
    made = plan(strategy={"type": "optuna", "sampler": "CmaEsSampler"}, space={"x": X, "y": X})
    assert made.support("strategy.sampler") is Support.ENCODED
    assert made.request["spec"]["algorithm"]["algorithmName"] == "cmaes"  # type: ignore[index,call-overload]


def test_reals_of_linear_scale_are_whole_numbers_for_the_search_that_draws_them_by_their_logarithm() -> None:
    """pkg/suggestion/v1beta1/skopt/base_service.py of Katib: every double is "log-uniform", which 0 has no place in."""
    space = {"x": X, "rate": RATE, "noise": {"type": "normal", "mean": 0.0, "std": 1.0}}
    kinds = {
        each["name"]: each["parameterType"] for each in spec(strategy={"type": "bayesian"}, space=space)["parameters"]
    }
    assert kinds == {"x": "int", "rate": "double", "noise": "int"}
    others = {
        each["name"]: each["parameterType"] for each in spec(strategy={"type": "random"}, space=space)["parameters"]
    }
    assert set(others.values()) == {"double"}


@pytest.mark.parametrize("low", [0.0, 0.1, -3.7, 1e-9])
def test_a_real_that_travels_as_a_whole_number_has_all_of_its_range(low: float) -> None:
    space = {"x": {"type": "float", "low": low, "high": 0.7}}
    job = TuningJob.from_data({"name": "j", "trial": {"command": "a"}, "objective": {"metric": "m", "goal": "minimize"},
                               "space": space, "strategy": {"type": "bayesian"}, "limits": {"trials": 1}})  # fmt: skip
    codec = codec_of(job)
    ends = [float(str(codec.decode({"x": text})["x"])) for text in ("0", "1000000")]
    assert ends[0] == low
    assert ends[1] == pytest.approx(0.7, rel=1e-9)
    assert ends[1] <= 0.7
    assert codec.encode({"x": codec.decode({"x": "271828"})["x"]}) == {"x": 271828}


def test_values_that_would_break_the_template_travel_as_indexes_without_an_order() -> None:
    space = {
        "k": {"type": "categorical", "values": ["a", 'say "a"', None]},
        "s": {"type": "ordinal", "values": [16, 32]},
    }
    found = {each["name"]: each for each in spec(space=space)["parameters"]}
    assert (found["k"]["parameterType"], found["k"]["feasibleSpace"]["list"]) == ("categorical", ["0", "1", "2"])
    assert (found["s"]["parameterType"], found["s"]["feasibleSpace"]) == ("int", {"min": "0", "max": "1"})


def test_a_grid_has_no_more_trials_than_combinations() -> None:
    made = spec(
        strategy={"type": "grid", "levels": 2},
        space={"x": X, "rate": RATE},
        limits={"trials": 90, "parallel": 9, "failed": 50},
    )
    assert (made["maxTrialCount"], made["parallelTrialCount"], made.get("maxFailedTrialCount")) == (4, 4, None)
    assert {each["parameterType"] for each in made["parameters"]} == {"int"}


def test_a_program_without_the_helper_gets_arguments_and_is_heard_by_what_it_prints() -> None:
    found = trial(
        kubernetes=PRINTS,
        space={"x": X, "k": {"type": "categorical", "values": ["a", "b"]}},
        strategy={"type": "random"},
    )
    assert found["args"] == ["--x=${trialParameters.x}", "--k=${trialParameters.k}"]
    made = spec(kubernetes=PRINTS, strategy={"type": "random"})
    assert made["metricsCollectorSpec"]["collector"]["kind"] == "StdOut"
    assert [each["name"] for each in made["trialTemplate"]["trialParameters"]] == ["x"]


def test_pods_of_one_trial_find_each_other_and_rank_0_alone_is_measured() -> None:
    template = spec(compute={"count": 2})["trialTemplate"]
    assert template["primaryPodLabels"] == {"batch.kubernetes.io/job-completion-index": "0"}
    assert variables(compute={"count": 2})["MASTER_ADDR"] == "${trialParameters.cloudtune-trial}-0.${run}"
    assert {"name": "cloudtune-trial", "reference": "${trialSpec.Name}"} in template["trialParameters"]


def test_native_settings_reach_the_experiment_and_its_trials() -> None:
    own = {
        "katib": {"spec": {"resumePolicy": "LongRunning"}},
        "spec": {"nodeSelector": {"pool": "big"}},
        "job": {"spec": {"completions": 1}},
    }
    made = spec(kubernetes=own)
    assert made["resumePolicy"] == "LongRunning"
    job = made["trialTemplate"]["trialSpec"]["spec"]
    assert (job["completions"], job["template"]["spec"]["nodeSelector"]) == (1, {"pool": "big"})
    driven = plan(mode="driven", kubernetes=own)
    assert driven.support("kubernetes.katib.spec.resumePolicy") is Support.APPROXIMATE
    for wrong, path in (({"katib": {"spec": {"resumePolicy": "Sometimes"}}}, "kubernetes.katib.spec.resumePolicy"),
                        ({"spec": {"nodeSelektor": {}}}, "kubernetes.spec.nodeSelektor")):  # fmt: skip
        with pytest.raises(UnsupportedError) as refused:
            plan(kubernetes=wrong).refuse()
        assert [problem.path for problem in refused.value.problems] == [path]


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "several objectives": ({"objective": [{"metric": "a", "goal": "maximize"}, {"metric": "b", "goal": "minimize"}]}, "objective"),
    "constraints": ({"constraints": [{"metric": "size", "max": 1}]}, "constraints"),
    "retries": ({"retries": 1}, "retries"),
    "trials of one's own": ({"first": [{"x": 0.5}]}, "first"),
    "a stopping rule": ({"stopping": {"type": "bandit", "slack_factor": 0.1}}, "stopping"),
    "a search of one number by cmaes": ({"strategy": {"type": "evolutionary"}}, "strategy.type"),
    "a grid with conditions": ({"strategy": {"type": "grid"}, "space": {"k": {"type": "ordinal", "values": [1, 2]}, "n": {"type": "int", "low": 1, "high": 2, "when": {"k": [1]}}}}, "strategy"),
    "a name that is cut": ({"objective": {"metric": "a;b", "goal": "maximize"}}, "objective[0].metric"),
    "rungs": ({"strategy": {"type": "hyperband", "max_resource": 9}}, "strategy"),
    "what must be allowed": ({"require": ["x < 0.5"]}, "require"),
}  # fmt: skip


@pytest.mark.parametrize("name", CANNOT)
def test_what_katib_cannot_is_refused_where_it_was_asked_for_and_driven_where_it_was_not(name: str) -> None:
    fields, path = CANNOT[name]
    with pytest.raises(UnsupportedError) as refused:
        plan(**fields).refuse()
    assert path in {problem.path for problem in refused.value.problems}
    left = plan({"katib": True}, mode="auto", **fields)
    assert left.mode == "driven"
    assert Support.DRIVEN in {note.support for note in left.notes if note.path == path}


def test_an_experiment_of_ours_is_well_formed_for_the_import() -> None:
    fields: dict[str, Any] = {"space": {"x": X, "rate": RATE}, "stopping": {"type": "median", "grace": 3}}
    assert load_format("katib").recognises(plan(**fields).request)
    assert spec(**fields)["earlyStopping"]["algorithmSettings"][1] == {"name": "start_step", "value": "4"}


@pytest.mark.parametrize(
    ("container", "line", "told"),
    [
        (
            "metrics-logger-and-collector",
            "I1128 12:51:13.173469      17 main.go:143] epoch 1: loss = 0.5",
            "epoch 1: loss = 0.5",
        ),
        ("metrics-logger-and-collector", "panic: something", "panic: something"),
        ("trial", "I1128 12:51:13.173469      17 main.go:143] mine", "I1128 12:51:13.173469      17 main.go:143] mine"),
    ],
)
def test_what_katibs_collector_tells_of_the_output_is_the_output(container: str, line: str, told: str) -> None:
    pytest.importorskip("kubernetes")
    from cloudtune_kubernetes.logs import told_by

    assert told_by(container, line) == told


def test_a_population_has_a_trial_for_each_generation_and_its_checkpoints_at_katib() -> None:
    strategy = {"type": "population", "members": 6, "interval": 2, "max_resource": 5, "quantile": 0.2}
    space = {"rate": RATE, "n": {"type": "int", "low": 1, "high": 9}}
    made = spec(strategy=strategy, space=space)
    assert (made["maxTrialCount"], made["resumePolicy"], made["algorithm"]["algorithmName"]) == (
        18,
        "FromVolume",
        "pbt",
    )
    settings = {each["name"]: each["value"] for each in made["algorithm"]["algorithmSettings"]}
    assert settings == {
        "n_population": "6",
        "truncation_threshold": "0.2",
        "suggestion_trial_dir": "/cloudtune/checkpoint",
    }
    assert float(made["parameters"][0]["feasibleSpace"]["step"]) == pytest.approx(0.9999 / 1000)
    own = variables(strategy=strategy, space=space)
    assert (own["CLOUDTUNE_CHECKPOINT"], own["CLOUDTUNE_STEPS"]) == ("/cloudtune/checkpoint", "2")
    assert plan({"katib": True}, mode="auto", strategy=strategy).mode == "driven", "Katib's is another one"
    with pytest.raises(UnsupportedError, match="5 members"):
        plan(strategy={**strategy, "members": 4}).refuse()


def test_names_of_a_populations_trials_are_no_longer_than_labels() -> None:
    data = {"name": "a-long-name-of-a-job-that-goes-on", "trial": {"command": "a"}, "objective": {"metric": "m", "goal": "minimize"},
            "space": {"x": X}, "strategy": {"type": "population", "interval": 1, "max_resource": 2}}  # fmt: skip
    assert len(experiment_name(TuningJob.from_data(data), "run")) + len("-") + len(str(uuid.uuid4())) <= 63
