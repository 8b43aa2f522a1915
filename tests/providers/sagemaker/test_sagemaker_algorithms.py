"""SageMaker's own algorithms bring their metrics: known, found in a stand-in's output, and not defined again."""

from collections.abc import Iterator
from typing import Any

import pytest
from late import LATE

from cloudtune.errors import UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.spec.job import TuningJob
from cloudtune_sagemaker.algorithms import algorithm_of, algorithm_of_image
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.translate import translate

if LATE:
    ClientError = pytest.importorskip("botocore.exceptions").ClientError


REGISTRY = "174872318107.dkr.ecr.us-west-2.amazonaws.com"
"""Of the service's own, in us-west-2."""

PRINTED = {
    "xgboost": ("246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-xgboost:1.7-1", "validation:auc", "[3]#011train-auc:0.8#011validation-auc:0.75"),
    "linear-learner": (f"{REGISTRY}/linear-learner:1", "test:binary_f_beta", "[01/02/2020 10:00:00 INFO 1] #quality_metric: host=algo-1, test binary_f_1.000 <score>=0.75"),
    "kmeans": (f"{REGISTRY}/kmeans:1", "test:msd", "#quality_metric: host=algo-1, test msd <loss>=0.75"),
    "knn": (f"{REGISTRY}/knn:1", "test:accuracy", "#quality_metric: host=algo-1, test accuracy <score>=0.75"),
    "forecasting-deepar": ("522234722520.dkr.ecr.us-east-1.amazonaws.com/forecasting-deepar:1", "test:RMSE", "#quality_metric: host=algo-1, test RMSE <loss>=0.75"),
    "blazingtext": ("811284229777.dkr.ecr.us-east-1.amazonaws.com/blazingtext:1", "validation:accuracy", "#validation_accuracy: 0.75"),
    "object-detection": ("811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1", "validation:mAP", "#quality_metric: host=algo-1, epoch=4, validation mAP <score>=(0.75)"),
    "ipinsights": (f"{REGISTRY}/ipinsights:1", "validation:discriminator_auc", "#quality_metric: host=algo-1, epoch=4, validation discriminator_auc <score>=0.75"),
    "object2vec": (f"{REGISTRY}/object2vec:1", "validation:cross_entropy", "#quality_metric: host=algo-1, epoch=4, validation cross_entropy <loss>=0.75"),
}  # fmt: skip
"""An image, a metric and a line that the algorithm prints, each with the value 0.75."""


@pytest.mark.parametrize("name", PRINTED)
def test_an_algorithm_is_known_by_its_image_and_its_metric_by_what_it_prints(name: str) -> None:
    pytest.importorskip("moto")
    from cloudtune_sagemaker.emulator.metrics import MetricFinder

    image, metric, line = PRINTED[name]
    algorithm = algorithm_of({"TrainingImage": image})
    assert algorithm is not None
    assert (algorithm.name, algorithm.own) == (name, True)
    assert dict(MetricFinder(algorithm.definitions(metric)).find(line))[metric] == 0.75


def test_other_images_are_none_of_them() -> None:
    for image in (
        "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:1.5",
        "python:3.11",
        f"{REGISTRY}/kmeans-of-mine",
        "",
    ):
        assert algorithm_of_image(image) is None
    mine = algorithm_of_image("123456789012.dkr.ecr.us-east-1.amazonaws.com/xgboost:7")
    assert mine is not None
    assert not mine.own, "a repository of that name in one's own account"


# The plan


def planned(metric: str, image: str, **fields: Any) -> Plan:
    job = {
        "name": "own",
        "trial": {"image": {"sagemaker": image}, **fields.pop("trial", {})},
        "objective": {"metric": metric, "goal": "maximize", **fields.pop("objective", {})},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 4},
        "output": "s3://bucket/out",
        **fields,
    }
    settings = SageMakerSettings(role="arn:aws:iam::123456789012:role/r", region="us-west-2")
    return translate(TuningJob.from_data(job), settings)


XGBOOST = PRINTED["xgboost"][0]


def test_an_objective_that_the_algorithm_does_not_print_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnsupportedError, match="did you mean 'validation:auc'"):
        planned("validation:AUC", XGBOOST).refuse()
    planned("accuracy", "123456789012.dkr.ecr.us-west-2.amazonaws.com/xgboost:mine").refuse()


def test_no_metrics_are_defined_for_an_algorithm_which_the_service_refuses() -> None:
    plan = planned("validation:auc", XGBOOST)
    plan.refuse()
    definition: Any = plan.request["TrainingJobDefinition"]
    assert "MetricDefinitions" not in definition["AlgorithmSpecification"]
    own = planned("validation:auc", XGBOOST, objective={"regex": "auc=(.*)"})
    assert own.support("objective[0].regex") is Support.APPROXIMATE


def test_a_program_in_an_algorithms_image_needs_a_driven_run() -> None:
    command = {"command": "python -m train"}
    with pytest.raises(UnsupportedError, match="take mode: managed away"):
        planned("validation:auc", XGBOOST, trial=command, mode="managed").refuse()
    driven = planned("anything", XGBOOST, trial=command)
    driven.refuse()
    assert driven.mode == "driven"
    assert driven.support("trial.image.sagemaker") is Support.DRIVEN
    assert "MetricDefinitions" not in str(driven.request)
    job = {"name": "x", "trial": command, "objective": {"metric": "m", "goal": "maximize"}, "limits": {"trials": 1}}
    by_profile = TuningJob.from_data({**job, "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}}})
    with pytest.raises(UnsupportedError, match="mode: driven"):
        translate(by_profile, SageMakerSettings(role="arn:aws:iam::123456789012:role/r", image=XGBOOST)).refuse()


# The emulator

STAND_INS = {
    "*sagemaker-xgboost*": "printf '[1]\\ttrain-auc:0.99\\tvalidation-auc:%s\\n' $SM_HP_X",
    "*kmeans*": 'echo "#quality_metric: host=algo-1, test msd <loss>=$SM_HP_X"',
    "*knn*": 'echo "test:accuracy=$SM_HP_X"',
}
"""As XGBoost prints, as k-means does, and as a program that only plays k-NN may."""


@pytest.mark.parametrize("name", ["xgboost", "kmeans", "knn"])
def test_a_stand_in_is_found_by_the_algorithms_own_definitions(name: str, own_algorithms: Any) -> None:
    emulator, sagemaker = own_algorithms
    image, metric, _ = PRINTED[name]
    sagemaker.create_hyper_parameter_tuning_job(**request(emulator, name, image, metric))
    assert emulator.wait(name, 60) == "Completed"
    told = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    best = told["BestTrainingJob"]
    found = best["FinalHyperParameterTuningJobObjectiveMetric"]
    assert found["Value"] == pytest.approx(float(best["TunedHyperParameters"]["x"]))


def test_the_emulator_refuses_what_the_service_refuses_for_its_algorithms(own_algorithms: Any) -> None:
    emulator, sagemaker = own_algorithms
    strange = request(emulator, "strange", XGBOOST, "validation:auk")
    with pytest.raises(ClientError, match=r"isn't valid for the .* e.g. validation:auc"):
        sagemaker.create_hyper_parameter_tuning_job(**strange)
    definition = strange["TrainingJobDefinition"]
    metrics = [{"Name": "mine", "Regex": "mine=(.*)"}]
    algorithm = {**definition["AlgorithmSpecification"], "MetricDefinitions": metrics}
    with pytest.raises(ClientError, match="can't override the metric definitions for Amazon SageMaker algorithms"):
        sagemaker.create_training_job(TrainingJobName="mine", **{**definition, "AlgorithmSpecification": algorithm})
    unknown = request(emulator, "unknown", "python:3", "score")
    with pytest.raises(ClientError, match="A metric is required for this hyperparameter tuning job objective"):
        sagemaker.create_hyper_parameter_tuning_job(**unknown)


def request(emulator: Any, name: str, image: str, metric: str) -> dict[str, Any]:
    """A CreateHyperParameterTuningJob request that defines no metrics."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": metric},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0.1", "MaxValue": "0.9"}]},
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "RoleArn": emulator.role,
            "OutputDataConfig": {"S3OutputPath": f"s3://{emulator.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


@pytest.fixture(scope="module")
def own_algorithms() -> Iterator[Any]:
    """An emulator whose images print as the algorithms do, and a client."""
    pytest.importorskip("moto")
    import boto3

    from cloudtune_sagemaker.emulator import SageMakerEmulator

    with SageMakerEmulator(images=STAND_INS) as emulator:
        given = emulator.environment
        keys = {
            "aws_access_key_id": given["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": given["AWS_SESSION_TOKEN"],
        }
        yield emulator, boto3.client("sagemaker", endpoint_url=emulator.url, region_name=emulator.region, **keys)
