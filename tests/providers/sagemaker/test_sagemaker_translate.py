"""From jobs to SageMaker's requests: what each field becomes, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune_sagemaker.rules import problems
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.translate import translate

PROFILE = SageMakerSettings(role="arn:aws:iam::123456789012:role/tuner", bucket="bucket")
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:latest"


def plan_of(**fields: Any) -> Plan:
    data = {
        "name": "digits-svc",
        "trial": {"image": IMAGE, **fields.pop("trial", {"command": "python train.py"})},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.5, "high": 1.5}},
        "limits": {"trials": 20, **fields.pop("limits", {})},
        **fields,
    }
    return translate(TuningJob.from_data(data), PROFILE)


def config(plan: Plan) -> Any:
    return plan.request["HyperParameterTuningJobConfig"]


def definition(plan: Plan) -> Any:
    return plan.request["TrainingJobDefinition"]


def test_every_field_reaches_its_member() -> None:
    plan = plan_of(
        trial={"command": "python train.py", "environment": {"A": "1"}},
        strategy={"type": "bayesian", "seed": 7},
        stopping={"type": "auto"},
        limits={"trials": 20, "parallel": 4, "time": "2h", "trial_time": "20m", "target": 0.25, "no_improvement": 5},
        warm_start={"runs": ["before"], "kind": "transfer"},
        compute={"instance": "ml.p3.2xlarge", "count": 2, "disk": "50GB", "spot": True, "max_wait": "1h"},
        data={"train": "s3://bucket/train", "test": "./here"},
        output="s3://bucket/out",
        network={"subnets": ["subnet-1"], "security_groups": ["sg-1"], "isolated": True},
        identity="arn:aws:iam::123456789012:role/own",
        encryption={"key": "alias/out", "volume_key": "alias/disk", "traffic": True},
        tags={"team": "ads"},
        metrics={"accuracy": "acc: ([0-9.]+)"},
        sagemaker={
            "TrainingJobDefinition": {"RetryStrategy": {"MaximumRetryAttempts": 2}},
            "Autotune": {"Mode": "Enabled"},
        },
    )
    plan.refuse()
    assert plan.mode == "managed"
    assert config(plan) == {
        "Strategy": "Bayesian",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 4, "MaxRuntimeInSeconds": 7200},
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0.5", "MaxValue": "1.5", "ScalingType": "Linear"}]},
        "TrainingJobEarlyStoppingType": "Auto",
        "TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.25, "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 5}},
        "RandomSeed": 7,
    }  # fmt: skip
    made = dict(definition(plan))
    static = made.pop("StaticHyperParameters")
    assert static["sagemaker_program"] == "cloudtune_trial.py"
    assert static["sagemaker_submit_directory"] == "s3://bucket/cloudtune/${code}/sourcedir.tar.gz"
    channels = {
        each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in made.pop("InputDataConfig")
    }
    assert channels == {
        "train": "s3://bucket/train",
        "test": "s3://bucket/cloudtune/data/${data:test}/",
        "cloudtune": "s3://bucket/cloudtune/${code}/",
    }
    algorithm = made.pop("AlgorithmSpecification")
    assert algorithm["TrainingImage"] == IMAGE
    assert [each["Name"] for each in algorithm["MetricDefinitions"]] == ["loss", "accuracy"]
    assert made == {
        "RoleArn": "arn:aws:iam::123456789012:role/own",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "KmsKeyId": "alias/out"},
        "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50, "VolumeKmsKeyId": "alias/disk"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 1200, "MaxWaitTimeInSeconds": 3600},
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "EnableManagedSpotTraining": True,
        "CheckpointConfig": {"S3Uri": "s3://bucket/out/checkpoints"},
        "Environment": {"A": "***"},
        "RetryStrategy": {"MaximumRetryAttempts": 2},
    }  # fmt: skip
    assert plan.request["Tags"] == [{"Key": "team", "Value": "ads"}]
    assert plan.request["Autotune"] == {"Mode": "Enabled"}
    assert plan.request["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "before"}],
        "WarmStartType": "TransferLearning",
    }


@pytest.mark.parametrize(
    ("parameter", "kind", "expected"),
    [
        ({"type": "float", "low": 1e-5, "high": 1, "scale": "log"}, "Continuous", {"MinValue": "1e-05", "MaxValue": "1.0", "ScalingType": "Logarithmic"}),
        ({"type": "float", "low": 0, "high": 0.9, "scale": "reverse_log"}, "Continuous", {"MinValue": "0.0", "MaxValue": "0.9", "ScalingType": "ReverseLogarithmic"}),
        ({"type": "float", "low": 0, "high": 1, "step": 0.25}, "Integer", {"MinValue": "0", "MaxValue": "4", "ScalingType": "Linear"}),
        ({"type": "int", "low": 1, "high": 64, "scale": "log"}, "Integer", {"MinValue": "1", "MaxValue": "64", "ScalingType": "Logarithmic"}),
        ({"type": "int", "low": 1, "high": 9, "step": 2}, "Integer", {"MinValue": "0", "MaxValue": "4", "ScalingType": "Linear"}),
        ({"type": "ordinal", "values": [8, 16, 32]}, "Integer", {"MinValue": "0", "MaxValue": "2", "ScalingType": "Linear"}),
        ({"type": "categorical", "values": ["a", "b"]}, "Categorical", {"Values": ["a", "b"]}),
        ({"type": "categorical", "values": [1, 2.5]}, "Categorical", {"Values": ["1", "2.5"]}),
        ({"type": "categorical", "values": ["a", True, None]}, "Categorical", {"Values": ['"a"', "true", "null"]}),
        ({"type": "categorical", "values": list(range(40))}, "Integer", {"MinValue": "0", "MaxValue": "39", "ScalingType": "Linear"}),
    ],
)  # fmt: skip
def test_every_kind_of_parameter_has_its_range(parameter: dict[str, Any], kind: str, expected: dict[str, Any]) -> None:
    plan = plan_of(space={"x": parameter})
    assert config(plan)["ParameterRanges"] == {f"{kind}ParameterRanges": [{"Name": "x", **expected}]}


def test_what_does_not_vary_is_static() -> None:
    plan = plan_of(space={"x": {"type": "int", "low": 1, "high": 5}, "a": {"type": "constant", "value": "text"}, "b": {"type": "constant", "value": True}, "c": {"type": "float", "low": 2, "high": 2}})  # fmt: skip
    static = definition(plan)["StaticHyperParameters"]
    assert (static["a"], static["b"], static["c"]) == ("text", "true", "2.0")


def test_a_grid_becomes_categories_and_ends_by_itself() -> None:
    plan = plan_of(strategy={"type": "grid", "levels": 3}, space={"x": {"type": "float", "low": 0, "high": 1}, "k": {"type": "int", "low": 1, "high": 2}}, limits={"trials": None})  # fmt: skip
    plan.refuse()
    assert plan.mode == "managed"
    assert config(plan)["ResourceLimits"] == {"MaxParallelTrainingJobs": 1}
    assert config(plan)["ParameterRanges"]["CategoricalParameterRanges"] == [
        {"Name": "x", "Values": ["0.0", "0.5", "1.0"]},
        {"Name": "k", "Values": ["1", "2"]},
    ]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"strategy": {"type": "sobol"}}, "strategy"),
        ({"strategy": {"type": "evolutionary"}}, "strategy"),
        ({"strategy": {"type": "bayesian", "startup": 3}}, "strategy.startup"),
        ({"strategy": {"type": "hyperband", "max_resource": 9, "searcher": "bayesian"}}, "strategy.searcher"),
        ({"stopping": {"type": "bandit", "slack_factor": 0.1}}, "stopping"),
        ({"retries": 1}, "retries"),
        ({"first": [{"x": 1}]}, "first"),
        ({"objective": [{"metric": "a", "goal": "minimize"}, {"metric": "b", "goal": "minimize"}]}, "objective"),
        ({"objective": {"metric": "a", "goal": "minimize", "measurement": "best"}}, "objective[0].measurement"),
        ({"strategy": {"type": "grid"}, "space": {"x": {"type": "int", "low": 1, "high": 31}}, "limits": {"trials": None}}, "strategy"),
        ({"space": {f"x{index}": {"type": "float", "low": 0, "high": 1} for index in range(31)}}, "space"),
        ({"trial": {}, "space": {"x": {"type": "normal", "mean": 0, "std": 1}}}, "space.x"),
    ],
)  # fmt: skip
def test_what_the_tuner_cannot_do_is_driven_unless_it_must_be_managed(fields: dict[str, Any], path: str) -> None:
    plan = plan_of(**fields)
    plan.refuse()
    assert plan.mode == "driven"
    assert plan.support(path) is Support.DRIVEN
    assert problems(plan.request, "CreateTrainingJob") == []
    with pytest.raises(UnsupportedError, match=path.replace("[", r"\[")):
        plan_of(**fields, mode="managed").refuse()


def test_a_driven_trial_starts_in_any_image_with_python() -> None:
    algorithm: Any = plan_of(mode="driven").request["AlgorithmSpecification"]
    assert algorithm["ContainerEntrypoint"] == ["/bin/sh"]
    assert "trial.py" in algorithm["ContainerArguments"][1]


def test_conditions_are_definitions_under_bayesian_search_and_masked_under_random() -> None:
    space = {
        "model": {"type": "categorical", "values": ["tree", "line"]},
        "depth": {"type": "int", "low": 1, "high": 5, "when": {"model": "tree"}},
        "rate": {"type": "float", "low": 0.1, "high": 0.9, "when": {"model": "line"}},
    }
    several: Any = plan_of(strategy={"type": "bayesian"}, space=space).request["TrainingJobDefinitions"]
    assert [each["DefinitionName"] for each in several] == ["tree", "line"]
    assert [each["StaticHyperParameters"]["model"] for each in several] == ["tree", "line"]
    assert [list(each["HyperParameterRanges"]) for each in several] == [
        ["IntegerParameterRanges"],
        ["ContinuousParameterRanges"],
    ]
    masked = plan_of(strategy={"type": "random"}, space=space)
    assert masked.support("space.depth") is Support.ENCODED
    assert len(config(masked)["ParameterRanges"]) == 3


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"limits": {"trials": 751}, "strategy": {"type": "bayesian"}}, "limits.trials", "750"),
        ({"limits": {"trial_time": "40d"}}, "limits.trial_time", "2419200"),
        ({"compute": {"instance": "ml.huge"}}, "compute.instance", "no instance type 'ml.huge'"),
        ({"compute": {"spot": True, "max_wait": "1m"}}, "compute.max_wait", "MaxRuntimeInSeconds"),
        ({"identity": "somebody"}, "identity", "regular expression"),
        ({"tags": {"k" * 129: "x"}}, "tags", "128"),
        ({"data": {"a": "s3://b/c", "A": "s3://b/d"}}, "data.A", "CLOUDTUNE_DATA_A"),
        ({"data": {"train": "gs://b/c"}}, "data.train", "s3://"),
        ({"trial": {"command": "x", "environment": {f"V{index}": "1" for index in range(49)}}}, "trial.environment", "48"),
        ({"trial": {"command": "x", "environment": {"LONG": "1" * 513}}}, "trial.environment", "512"),
        ({"trial": {"command": "x", "environment": {"LONG": "1" * 513}}, "mode": "driven"}, "trial.environment", "512"),
        ({"sagemaker": {"TrainingJobDefintion": {}}}, "sagemaker.TrainingJobDefintion", "did you mean 'TrainingJobDefinition'"),
        ({"sagemaker": {"TrainingJobDefinition": {"RetryStrategy": {"MaximumRetryAttempts": 99}}}}, "sagemaker.TrainingJobDefinition", "30"),
    ],
)  # fmt: skip
def test_what_the_service_would_refuse_is_refused_at_its_place(fields: dict[str, Any], path: str, says: str) -> None:
    plan = plan_of(**fields)
    with pytest.raises(UnsupportedError) as refused:
        plan.refuse()
    messages = {problem.path: problem.message for problem in refused.value.problems}
    assert [message for place, message in messages.items() if place.startswith(path) and says in message], messages


def test_a_built_in_algorithm_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sagemaker.core")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    rmse = {"metric": "validation:rmse", "goal": "minimize"}
    plan = plan_of(trial={"image": {"sagemaker": "builtin:xgboost:1.7-1"}}, objective=rmse)
    plan.refuse()
    image = definition(plan)["AlgorithmSpecification"]["TrainingImage"]
    assert image == "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    for name, says in [("builtin:xgbost", "did you mean 'xgboost'"), ("builtin:xgboost:77", "77")]:
        with pytest.raises(UnsupportedError, match=says):
            plan_of(trial={"image": name}).refuse()
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(UnsupportedError, match="region"):
        plan_of(trial={"image": "builtin:xgboost:1.7-1"}).refuse()


def test_watched_limits_are_said_to_be_watched() -> None:
    plan = plan_of(limits={"failed": 2, "time": "30s", "no_improvement": 2})
    assert {
        path: plan.support(path) for path in ("limits.failed", "limits.time", "limits.no_improvement")
    } == dict.fromkeys(("limits.failed", "limits.time", "limits.no_improvement"), Support.WATCHED)


def test_a_setting_that_there_is_not_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'bucket'"):
        SageMakerSettings.of({"buckett": "x"}, "sagemaker")
    with pytest.raises(ConfigError, match="'poll'"):
        SageMakerSettings.of({"poll": "soon"}, "sagemaker")
    assert SageMakerSettings.of({"poll": "0.5", "profile": ""}, "sagemaker") == SageMakerSettings(poll=0.5)


def test_a_plan_from_the_command_line_loads_no_client(tmp_path: Path) -> None:
    job = TuningJob.from_data({"name": "a", "trial": {"command": "x", "image": IMAGE}, "objective": {"metric": "m", "goal": "minimize"}, "space": {"x": {"type": "int", "low": 1, "high": 3}}, "limits": {"trials": 1}})  # fmt: skip
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    script = (
        "import sys; from cloudtune.cli.app import run_app; code = run_app(['plan', 'job.yaml', '--on', 'aws', '--json']);"
        "assert not {'boto3', 'moto', 'sagemaker'} & set(sys.modules), sorted(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr  # nobody gave a role
    assert json.loads(done.stdout)["mode"] == "managed"
    assert "identity" in done.stderr


def test_the_profile_gives_what_the_job_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text('[profiles.team]\nprovider = "sagemaker"\nrole = "arn:aws:iam::123456789012:role/team"\nimage = "team:1"\ninstance = "ml.c5.xlarge"\n')  # fmt: skip
    job = TuningJob.from_data({"name": "a_b", "trial": {"command": "x"}, "objective": {"metric": "m", "goal": "minimize"}, "space": {"x": {"type": "int", "low": 1, "high": 3}}, "limits": {"trials": 1}})  # fmt: skip
    plan = api.plan(job, "team", project=tmp_path)
    plan.refuse()
    made = definition(plan)
    assert made["RoleArn"].endswith("/team")
    assert made["AlgorithmSpecification"]["TrainingImage"] == "team:1"
    assert made["ResourceConfig"]["InstanceType"] == "ml.c5.xlarge"
    assert plan.request["HyperParameterTuningJobName"] == "a-b"
    assert plan.support("name") is Support.ENCODED
