"""From jobs to Azure Machine Learning's job files: what each field becomes, and what is refused."""

import math
from typing import Any

import pytest
from amounts import examples
from hypothesis import HealthCheck, given, settings

from cloudtune import TuningJob
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.planning.plan import Beside, Plan, Support, covers, leaves
from cloudtune.store.records import Trial, TrialState
from cloudtune.testing.specs import jobs
from cloudtune.trial.decode import decode_parameters
from cloudtune_azureml.container import flattened_branches
from cloudtune_azureml.rules import problems
from cloudtune_azureml.settings import AzureMlSettings
from cloudtune_azureml.space import codec_of
from cloudtune_azureml.translate import command_of, translate

PROFILE = AzureMlSettings(subscription="s", resource_group="g", workspace="w", environment="azureml:own@latest", compute="cpu")  # fmt: skip


def job_of(**fields: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "digits-svc",
            "trial": fields.pop("trial", {"command": "python train.py"}),
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0.5, "high": 1.5}},
            "limits": {"trials": 20, **fields.pop("limits", {})},
            **fields,
        }
    )


def plan_of(**fields: Any) -> Plan:
    return translate(job_of(**fields), PROFILE)


def test_every_field_reaches_its_member() -> None:
    plan = plan_of(
        trial={"command": "python train.py", "source": "src", "environment": {"A": "1"}, "image": {"azureml": "own/image:1"}},
        strategy={"type": "random", "seed": 7},
        stopping={"type": "bandit", "slack_factor": 0.2, "grace": 5, "interval": 2},
        limits={"trials": 20, "parallel": 4, "time": "2h", "trial_time": "20m"},
        compute={"instance": "Standard_NC6s_v3", "count": 2, "spot": True},
        data={"train": "azureml://datastores/d/paths/train", "test": "./test.csv"},
        output="azureml://datastores/d/paths/out",
        identity="user",
        tags={"team": "ads"},
        azureml={
            "description": "mine",
            "properties": {"a": "b"},
            "resources": {"shm_size": "8g", "docker_args": "--ipc=host"},
            "trial": {"distribution": {"type": "pytorch", "process_count_per_instance": 4}},
            "inputs": {"train": {"mode": "download"}},
            "services": {"ssh": {"type": "ssh"}},
        },
    )  # fmt: skip
    plan.refuse()
    assert plan.mode == "managed"
    made: Any = dict(plan.request)
    assert problems(made) == []
    trial = made.pop("trial")
    assert made == {
        "type": "sweep",
        "display_name": "digits-svc",
        "experiment_name": "digits-svc",
        "description": "mine",
        "tags": {"team": "ads"},
        "properties": {"a": "b"},
        "identity": {"type": "user_identity"},
        "compute": "azureml:cpu",
        "resources": {"instance_type": "Standard_NC6s_v3", "instance_count": 2, "shm_size": "8g", "docker_args": "--ipc=host"},
        "queue_settings": {"job_tier": "spot"},
        "sampling_algorithm": {"type": "random", "seed": 7},
        "search_space": {"x": {"type": "uniform", "min_value": 0.5, "max_value": 1.5}},
        "objective": {"goal": "minimize", "primary_metric": "loss"},
        "early_termination": {"type": "bandit", "evaluation_interval": 2, "delay_evaluation": 5, "slack_factor": 0.2},
        "limits": {"max_total_trials": 20, "max_concurrent_trials": 4, "timeout": 7200, "trial_timeout": 1200},
        "inputs": {
            "train": {"type": "uri_folder", "path": "azureml://datastores/d/paths/train", "mode": "download"},
            "test": {"type": "uri_file", "path": "./test.csv"},
        },
        "outputs": {
                "model": {"type": "uri_folder", "path": "azureml://datastores/d/paths/out/${{name}}"},
                "checkpoint": {"type": "uri_folder", "mode": "rw_mount"},
            },
        "services": {"ssh": {"type": "ssh"}},
    }  # fmt: skip
    variables = trial.pop("environment_variables")
    assert variables["A"] == "***"
    assert trial == {
        "command": "CLOUDTUNE_DATA_TRAIN='${{inputs.train}}' CLOUDTUNE_DATA_TEST='${{inputs.test}}' "
        "CLOUDTUNE_AZUREML_OUTPUT='${{outputs.model}}' CLOUDTUNE_AZUREML_CHECKPOINT='${{outputs.checkpoint}}' "
        "python cloudtune_trial.py --x='${{search_space.x}}'",
        "code": "${code}",
        "environment": {"image": "own/image:1"},
        "distribution": {"type": "pytorch", "process_count_per_instance": 4},
    }


LOG = math.log


@pytest.mark.parametrize(
    ("sampling", "parameter", "expected"),
    [
        ("random", {"type": "float", "low": 1e-5, "high": 1, "scale": "log"}, {"type": "loguniform", "min_value": LOG(1e-5), "max_value": 0.0}),
        ("bayesian", {"type": "float", "low": 1e-5, "high": 1, "scale": "log"}, {"type": "uniform", "min_value": LOG(1e-5), "max_value": 0.0}),
        ("random", {"type": "float", "low": 0, "high": 0.5, "scale": "reverse_log"}, {"type": "uniform", "min_value": 0.0, "max_value": LOG(2)}),
        ("random", {"type": "int", "low": 3, "high": 9}, {"type": "randint", "upper": 7}),
        ("bayesian", {"type": "int", "low": 3, "high": 9}, {"type": "quniform", "min_value": 0, "max_value": 6, "q": 1}),
        ("random", {"type": "int", "low": 1, "high": 64, "scale": "log"}, {"type": "qloguniform", "min_value": LOG(0.5), "max_value": LOG(64.5), "q": 1}),
        ("random", {"type": "float", "low": 0, "high": 1, "step": 0.25}, {"type": "randint", "upper": 5}),
        ("random", {"type": "normal", "mean": 1, "std": 2}, {"type": "normal", "mu": 1.0, "sigma": 2.0}),
        ("random", {"type": "lognormal", "mean": 1, "std": 2}, {"type": "lognormal", "mu": 1.0, "sigma": 2.0}),
        ("random", {"type": "ordinal", "values": [8, 16]}, {"type": "choice", "values": [8, 16]}),
        ("random", {"type": "categorical", "values": ["a b", "c"]}, {"type": "choice", "values": ["a b", "c"]}),
        ("random", {"type": "categorical", "values": ["a", True, None]}, {"type": "choice", "values": ['"a"', "true", "null"]}),
        ("random", {"type": "categorical", "values": ["it's", "$x"]}, {"type": "randint", "upper": 2}),
        ("grid", {"type": "int", "low": 3, "high": 5}, {"type": "choice", "values": [3, 4, 5]}),
        ("grid", {"type": "categorical", "values": ["it's", "$x"]}, {"type": "choice", "values": [0, 1]}),
    ],
)  # fmt: skip
def test_every_kind_of_parameter_has_its_expression(
    sampling: str, parameter: dict[str, Any], expected: dict[str, Any]
) -> None:
    plan = plan_of(space={"x": parameter}, strategy={"type": sampling})
    plan.refuse()
    made: Any = plan.request["search_space"]
    assert made["x"] == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in expected.items()}  # fmt: skip
    assert made["x"].keys() == expected.keys()


BRANCHES = {
    "model": {"type": "categorical", "values": ["tree", "line", "none"]},
    "depth": {"type": "int", "low": 1, "high": 5, "when": {"model": "tree"}},
    "rate": {"type": "float", "low": 0.1, "high": 0.9, "when": {"model": ["tree", "line"]}},
    "kind": {"type": "categorical", "values": ["a", "b"], "when": {"model": "line"}},
    "deep": {"type": "float", "low": 0, "high": 1, "when": {"kind": "b"}},
    "both": {"type": "float", "low": 0, "high": 1, "when": {"model": "tree", "kind": "a"}},
}


def test_conditions_are_branches_of_a_choice() -> None:
    plan = plan_of(space=BRANCHES, strategy={"type": "random"})
    plan.refuse()
    made: Any = plan.request["search_space"]
    assert set(made) == {"model", "both"}
    rate = {"type": "uniform", "min_value": 0.1, "max_value": 0.9}
    inner = {"type": "choice", "values": ["a", {"kind": "b", "deep": {"type": "uniform", "min_value": 0.0, "max_value": 1.0}}]}  # fmt: skip
    assert made["model"]["values"] == [
        {"model": "tree", "depth": {"type": "randint", "upper": 5}, "rate": rate},
        {"model": "line", "rate": rate, "kind": inner},
        "none",
    ]
    said = {note.path: note.message for note in plan.notes}
    assert "branches" in said["space.depth"]
    assert "always sampled" in said["space.both"]


def test_branches_come_back_however_their_text_is_written() -> None:
    data = codec_of(job_of(space=BRANCHES)).to_data()
    for text in ('{"model": "line", "rate": 0.5, "kind": {"kind": "b", "deep": 0.25}}', "{'model': 'line', 'rate': 0.5, 'kind': {'kind': 'b', 'deep': 0.25}}"):  # fmt: skip
        told = flattened_branches({"model": text, "both": "0.5"})
        assert decode_parameters(data, told) == {"model": "line", "rate": 0.5, "kind": "b", "deep": 0.25}
    assert decode_parameters(data, flattened_branches({"model": "none", "both": 1})) == {"model": "none"}


def test_bayesian_search_has_no_branches() -> None:
    plan = plan_of(space=BRANCHES, strategy={"type": "bayesian"})
    plan.refuse()
    made: Any = plan.request["search_space"]
    assert set(made) == set(BRANCHES)


def test_what_does_not_vary_is_a_word_of_the_command() -> None:
    plan = plan_of(space={"x": {"type": "int", "low": 1, "high": 5}, "a": {"type": "constant", "value": "it's"}, "c": {"type": "float", "low": 2, "high": 2}})  # fmt: skip
    command: Any = plan.request["trial"]
    assert command["command"].endswith("""--x='${{search_space.x}}' --a='it'"'"'s' --c=2.0""")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"strategy": {"type": "evolutionary"}}, "strategy"),
        ({"strategy": {"type": "hyperband", "max_resource": 9}}, "strategy"),
        ({"strategy": {"type": "bayesian", "startup": 3}}, "strategy.startup"),
        ({"strategy": {"type": "bayesian"}, "stopping": {"type": "median"}}, "stopping"),
        ({"stopping": {"type": "curve"}}, "stopping"),
        ({"retries": 1}, "retries"),
        ({"first": [{"x": 1}]}, "first"),
        ({"warm_start": {"runs": ["before"]}}, "warm_start"),
        ({"objective": [{"metric": "a", "goal": "minimize"}, {"metric": "b", "goal": "minimize"}]}, "objective"),
        ({"strategy": {"type": "grid", "levels": 3}, "space": {"x": {"type": "int", "low": 1, "high": 2000}}, "limits": {"trials": 9}}, "strategy"),
        ({"azureml": {"trial": {"command": "x ${{search_space.x}}"}}, "space": {"x": {"type": "int", "low": 1, "high": 20000}}}, "space.x"),
    ],
)  # fmt: skip
def test_what_the_sweep_cannot_do_is_driven_unless_it_must_be_managed(fields: dict[str, Any], path: str) -> None:
    plan = plan_of(**fields)
    plan.refuse()
    assert plan.mode == "driven"
    assert plan.support(path) is Support.DRIVEN
    with pytest.raises(UnsupportedError, match=path.replace("[", r"\[")):
        plan_of(**fields, mode="managed").refuse()


def test_a_driven_trial_gets_its_parameters_in_its_command() -> None:
    trial = Trial(0, {"x": 0.75}, TrialState.RUNNING, attempt=1)
    job = job_of(mode="driven")
    command: Any = translate(job, PROFILE).request["command"]
    assert command_of(job, trial, command).endswith("python cloudtune_trial.py --x=0.75")
    own = job_of(mode="driven", azureml={"trial": {"command": "run --lr ${{search_space.x}}"}})
    command = translate(own, PROFILE).request["command"]
    assert command_of(own, trial, command) == "run --lr 0.75"


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"limits": {"trials": 1001}}, "limits.trials", "1000"),
        ({"network": {"isolated": True}}, "network.isolated", "managed network"),
        ({"data": {"train": "s3://b/c"}}, "data.train", "azureml://"),
        ({"output": "gs://b/c"}, "output", "datastores"),
        ({"trial": {"image": "own:1"}}, "trial", "trial.command"),
        ({"azureml": {"trail": {}}}, "azureml.trail", "did you mean 'trial'"),
        ({"azureml": {"trial": {"command": "x ${{inputs.nothing}}"}}}, "azureml.trial", "names nothing"),
        ({"azureml": {"early_termination": {"type": "bandit"}}}, "azureml.early_termination", "slack"),
        ({"azureml": {"search_space": {"a-b": {"type": "uniform", "min_value": 0, "max_value": 1}}}}, "azureml.search_space", "letters"),
        ({"azureml": {"queue_settings": {"job_tier": "cheap"}}}, "azureml.queue_settings", "'spot'"),
    ],
)  # fmt: skip
def test_what_the_service_would_refuse_is_refused_at_its_place(fields: dict[str, Any], path: str, says: str) -> None:
    plan = plan_of(**fields)
    with pytest.raises(UnsupportedError) as refused:
        plan.refuse()
    messages = {problem.path: problem.message for problem in refused.value.problems}
    assert [message for place, message in messages.items() if place.startswith(path) and says in message], messages


def test_the_key_that_may_be_meant_is_one_of_its_own_place() -> None:
    found = {
        each.path: each.message
        for each in problems({"type": "sweep", "limits": {"max_total_trials": 3, "slack_facto": 1}})
    }
    assert found["limits.slack_facto"] == "is no field here", "slack_factor is one of an early termination"


def test_times_are_whole_seconds_and_a_minute_at_least() -> None:
    plan = plan_of(limits={"trials": 20, "time": "90.5s", "trial_time": "5s"})
    made: Any = plan.request["limits"]
    assert (made["timeout"], made["trial_timeout"]) == (91, 60)
    assert plan.support("limits.trial_time") is Support.APPROXIMATE


def test_an_environment_that_nobody_gave_is_asked_for() -> None:
    plan = translate(job_of(), AzureMlSettings())
    with pytest.raises(UnsupportedError, match="azureml:NAME@latest"):
        plan.refuse()


@given(jobs())
@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
def test_every_leaf_of_a_job_is_accounted_for_and_the_file_is_valid_or_refused(job: TuningJob) -> None:
    plan = translate(job, PROFILE)
    assert [path for path, _ in leaves(job) if plan.support(path) is None] == []
    if not any(note.support is Support.UNSUPPORTED for note in plan.notes) and plan.mode == "managed":
        assert problems(plan.request) == []
    for path, target in plan.carried.items():
        if target in tuple(Beside):
            continue
        if target and not path.startswith("tags.") and any(covers(path, leaf) for leaf, _ in leaves(job)):
            first = target.partition(".")[0].partition("[")[0]
            assert first in plan.request or target in plan.request, (path, target)  # a key may hold a dot


def test_a_setting_that_there_is_not_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'workspace'"):
        AzureMlSettings.of({"workspce": "x"}, "azureml")
