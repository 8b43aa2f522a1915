"""Clients of SageMaker that we did not write work with the emulator: the AWS CLI, boto3, and SageMaker's own SDK."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("moto")
    import boto3

    from cloudtune_sagemaker.emulator import SageMakerEmulator


AWS = Path(sys.executable).parent / "aws"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
ECHO = 'echo "score=$SM_HP_RATE;"'
BEST = {"SortBy": "FinalObjectiveMetricValue", "MaxResults": 1}

needs_cli = pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI (awscli) is not installed")
needs_sdk = pytest.mark.skipif(not importlib.util.find_spec("sagemaker"), reason="sagemaker-train is not installed")


def request(emulator: SageMakerEmulator, name: str, trials: int) -> dict[str, Any]:
    """A CreateHyperParameterTuningJob request."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "RandomSeed": 1,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": trials, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0", "MaxValue": "1"}]},
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "score", "Regex": "score=(.*?);"}],
            },
            "RoleArn": emulator.role,
            "OutputDataConfig": {"S3OutputPath": f"s3://{emulator.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until something is true."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come about"
        threading.Event().wait(0.05)
    return found


# The AWS CLI


def aws(service: str, *words: str) -> Any:
    """What the AWS CLI answers."""
    line = [str(AWS), service, *words, "--output", "json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


@needs_cli
@pytest.mark.sagemaker_emulator(images={"*": ECHO})
def test_the_aws_cli_tunes(sagemaker_emulator: SageMakerEmulator, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request(sagemaker_emulator, "cli", 12)))
    name = ("--hyper-parameter-tuning-job-name", "cli")
    made = aws("sagemaker", "create-hyper-parameter-tuning-job", "--cli-input-json", f"file://{file}")
    assert made["HyperParameterTuningJobArn"].endswith(":hyper-parameter-tuning-job/cli")
    assert sagemaker_emulator.wait("cli", 60) == "Completed"
    job = aws("sagemaker", "describe-hyper-parameter-tuning-job", *name)
    trials = aws("sagemaker", "list-training-jobs-for-hyper-parameter-tuning-job", *name)["TrainingJobSummaries"]
    assert len(trials) == 12, "the CLI reads all pages"
    assert job["BestTrainingJob"]["TunedHyperParameters"] == min(
        (trial["TunedHyperParameters"] for trial in trials), key=lambda tuned: float(tuned["rate"])
    )
    assert aws("sagemaker", "list-tags", "--resource-arn", made["HyperParameterTuningJobArn"])["Tags"] == []
    model = f"s3://{sagemaker_emulator.bucket}/out/{trials[0]['TrainingJobName']}/output/model.tar.gz"
    subprocess.run([str(AWS), "s3", "cp", model, str(tmp_path)], check=True, capture_output=True, timeout=60)
    assert tarfile.is_tarfile(tmp_path / "model.tar.gz")


@pytest.mark.complete
@needs_cli
@pytest.mark.sagemaker_emulator(images={"*": "sleep 60"}, grace=0.2)
def test_the_aws_cli_stops(sagemaker_emulator: SageMakerEmulator, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request(sagemaker_emulator, "cli", 4)))
    aws("sagemaker", "create-hyper-parameter-tuning-job", "--cli-input-json", f"file://{file}")
    aws("sagemaker", "stop-hyper-parameter-tuning-job", "--hyper-parameter-tuning-job-name", "cli")
    assert sagemaker_emulator.wait("cli", 60) == "Stopped"
    (row,) = aws("sagemaker", "list-hyper-parameter-tuning-jobs", "--status-equals", "Stopped")[
        "HyperParameterTuningJobSummaries"
    ]
    assert row["HyperParameterTuningJobName"] == "cli"


# boto3


@pytest.mark.sagemaker_emulator(images={"*": ECHO})
def test_boto3_tunes(sagemaker_emulator: SageMakerEmulator) -> None:
    sagemaker, s3, logs = (boto3.client(service) for service in ("sagemaker", "s3", "logs"))
    sagemaker.create_hyper_parameter_tuning_job(**request(sagemaker_emulator, "boto", 5))
    describe = lambda: sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="boto")  # noqa: E731
    eventually(lambda: describe()["HyperParameterTuningJobStatus"] == "Completed")
    listing = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
    (best,) = listing(HyperParameterTuningJobName="boto", **BEST)["TrainingJobSummaries"]
    assert describe()["BestTrainingJob"] == best
    job = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    assert s3.get_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    found = logs.filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{best['TrainingJobName']}/"
    )
    assert any("score=" in event["message"] for event in found["events"])


@pytest.mark.sagemaker_emulator(images={"*": ECHO})
def test_boto3s_waiter_sees_the_end_of_a_training_job(sagemaker_emulator: SageMakerEmulator) -> None:
    sagemaker = boto3.client("sagemaker")
    definition = request(sagemaker_emulator, "any", 2)["TrainingJobDefinition"]
    sagemaker.create_training_job(TrainingJobName="waited", HyperParameters={"rate": "1"}, **definition)
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="waited", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert sagemaker.describe_training_job(TrainingJobName="waited")["TrainingJobStatus"] == "Completed"


# SageMaker's SDK, of both generations


@pytest.fixture(scope="session")
def sdk_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the SDK of generation 2, which does not go with its successor: $CLOUDTUNE_SAGEMAKER_V2, or made."""
    given = os.environ.get("CLOUDTUNE_SAGEMAKER_V2")
    if given:
        return Path(given)
    place = tmp_path_factory.mktemp("sdk-2") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=120)
    python = place / "bin" / "python"
    line = [str(python), "-m", "pip", "install", "--quiet", "sagemaker>=2.257,<3"]
    made = subprocess.run(line, capture_output=True, text=True, timeout=600)
    if made.returncode:
        pytest.skip(f"SageMaker's SDK 2 cannot be installed: {made.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.complete
@pytest.mark.timeout(900)
def test_the_sdk_of_generation_2_tunes_attaches_and_deploys(sagemaker_emulator: SageMakerEmulator, sdk_2: Path) -> None:
    program = Path(__file__).with_name("sagemaker_sdk_v2.py")
    line = [str(sdk_2), str(program), sagemaker_emulator.role]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


SCRIPT = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--kind")
parser.add_argument("--epochs", type=int)
given = parser.parse_args()
assert given.epochs == 3
print(f"score={given.rate};", flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "rate.txt").write_text(str(given.rate))
"""


def tuner(emulator: SageMakerEmulator, source: Path, **settings: Any) -> Any:
    """A HyperparameterTuner with a ModelTrainer of a local script."""
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, SourceCode, StoppingCondition
    from sagemaker.train.tuner import HyperparameterTuner

    session = Session(boto_session=boto3.Session())
    assert session.default_bucket() == emulator.bucket
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=emulator.role,
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(source), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
        hyperparameters={"epochs": 3},
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
        base_job_name="sdk",
    )
    ranges = {"rate": ContinuousParameter(0, 1), "kind": CategoricalParameter(["a", "b"])}
    return HyperparameterTuner(
        trainer,
        "score",
        ranges,
        metric_definitions=[{"Name": "score", "Regex": "score=(.*?);"}],
        **{"strategy": "Random", "max_jobs": 4, "max_parallel_jobs": 2, "random_seed": 3, **settings},
    )


@needs_sdk
def test_the_sdks_tuner_with_a_model_trainer_tunes(sagemaker_emulator: SageMakerEmulator, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    search = tuner(sagemaker_emulator, tmp_path)
    search.tune(wait=False)
    search.latest_tuning_job.wait(poll=1)
    job = search.describe() or search.latest_tuning_job
    assert job.hyper_parameter_tuning_job_status == "Completed"
    table = search.analytics().dataframe()
    assert list(table.sort_values("FinalObjectiveValue")["TrainingJobName"])[-1] == search.best_training_job()
    assert list(table["FinalObjectiveValue"]) == list(table["rate"])
    found = boto3.client("s3").get_object(
        Bucket=sagemaker_emulator.bucket, Key=f"sdk/{search.best_training_job()}/output/model.tar.gz"
    )
    with tarfile.open(fileobj=io.BytesIO(found["Body"].read())) as model:
        content = model.extractfile("rate.txt")
        assert content is not None
        assert float(content.read()) == table["rate"].max()


@needs_sdk
def test_the_sdks_tuner_stops_and_starts_warm(sagemaker_emulator: SageMakerEmulator, tmp_path: Path) -> None:
    from sagemaker.core.resources import HyperParameterTuningJob
    from sagemaker.core.shapes import HyperParameterTuningJobWarmStartConfig

    (tmp_path / "train.py").write_text(SCRIPT + "\nimport time; time.sleep(60)")
    first = tuner(sagemaker_emulator, tmp_path, max_jobs=2)
    first.tune(wait=False, job_name="first")
    eventually(lambda: len(sagemaker_emulator.jobs.tuning_job("first").trials) == 2)
    first.stop_tuning_job()
    assert sagemaker_emulator.wait("first", 60) == "Stopped"
    assert [each.hyper_parameter_tuning_job_name for each in HyperParameterTuningJob.get_all()] == ["first"]
    (tmp_path / "train.py").write_text(SCRIPT)
    parent = HyperParameterTuningJobWarmStartConfig(
        parent_hyper_parameter_tuning_jobs=[{"hyper_parameter_tuning_job_name": "first"}],
        warm_start_type="TransferLearning",
    )
    second = tuner(sagemaker_emulator, tmp_path, max_jobs=2, warm_start_config=parent)
    second.tune(wait=False, job_name="second")
    assert sagemaker_emulator.wait("second", 60) == "Completed"
    parents = second.latest_tuning_job.refresh().warm_start_config.parent_hyper_parameter_tuning_jobs
    assert [each.hyper_parameter_tuning_job_name for each in parents] == ["first"]


@needs_sdk
def test_a_model_trainer_is_the_trial_of_a_job(sagemaker_emulator: SageMakerEmulator, tmp_path: Path) -> None:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, InputData, Networking, OutputDataConfig, SourceCode, StoppingCondition

    from cloudtune import api
    from cloudtune_sagemaker.sdk_trial import job_of

    emulator = sagemaker_emulator
    (tmp_path / "code").mkdir()
    script = "import argparse\np = argparse.ArgumentParser()\nfor n in ('rate', 'epochs'):\n    p.add_argument('--' + n, type=float)\na = p.parse_args()\nprint(f'score={a.rate * a.epochs}')\n"
    (tmp_path / "code" / "train.py").write_text(script)
    boto3.client("s3").put_object(Bucket=emulator.bucket, Key="train/number.txt", Body=b"7")
    trainer = ModelTrainer(
        sagemaker_session=Session(boto_session=boto3.Session()),
        role=emulator.role,
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(tmp_path / "code"), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_in_gb=7),
        networking=Networking(enable_network_isolation=True, enable_inter_container_traffic_encryption=True),
        hyperparameters={"epochs": 3, "rate": 0.5},
        environment={"MODE": "fast"},
        input_data_config=[
            InputData(channel_name="train", data_source=f"s3://{emulator.bucket}/train", content_type="text/plain")
        ],
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{emulator.bucket}/out", kms_key_id="alias/out"),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
        base_job_name="trainer",
    )
    job = job_of(
        trainer,
        objective={"metric": "score", "goal": "maximize"},
        space={"rate": {"type": "float", "low": 0.0, "high": 1.0}},
        strategy={"type": "random", "seed": 3},
        limits={"trials": 3, "parallel": 2},
    )
    plan = api.plan(job, "aws", project=tmp_path)
    plan.refuse()
    made: Any = plan.request["TrainingJobDefinition"]
    assert made["RoleArn"] == emulator.role
    assert made["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert made["StaticHyperParameters"]["epochs"] == "3"
    assert made["ResourceConfig"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 7}
    assert made["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}
    assert made["InputDataConfig"][0]["ContentType"] == "text/plain"
    output = {"S3OutputPath": f"s3://{emulator.bucket}/out", "KmsKeyId": "alias/out", "CompressionType": "GZIP"}
    assert made["OutputDataConfig"] == output
    assert made["EnableNetworkIsolation"]
    assert made["EnableInterContainerTrafficEncryption"]
    assert made["Environment"] == {"MODE": "***"}
    run = api.submit(job, "aws", project=tmp_path, base=tmp_path)
    run.wait()
    assert len(run.trials()) == 3
    assert all(trial.metrics["score"] == pytest.approx(3 * trial.parameters["rate"]) for trial in run.trials())
