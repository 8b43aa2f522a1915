"""What users of SageMaker's SDK 2 do, against an emulator: run with an environment that has it, it exits 0 when all is well.

The tests run this in an environment of its own: the SDK cannot be installed beside its successor.
"""

import pathlib
import sys
import tempfile

import boto3
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner

SCRIPT = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--kind")
parser.add_argument("--epochs", type=int)
given = parser.parse_args()
print(f"score={given.rate};", flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "rate.txt").write_text(str(given.rate))
"""
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"


def main(role: str) -> None:
    source = pathlib.Path(tempfile.mkdtemp())
    (source / "train.py").write_text(SCRIPT)
    session = sagemaker.Session()
    bucket = session.default_bucket()  # asks STS who calls, and makes the bucket
    assert boto3.client("sts").get_caller_identity()["Account"] in bucket
    estimator = Estimator(
        IMAGE,
        role,
        instance_count=1,
        instance_type="ml.m5.large",
        entry_point="train.py",
        source_dir=str(source),
        hyperparameters={"epochs": 3},
        sagemaker_session=session,
    )
    tuner = HyperparameterTuner(
        estimator,
        "score",
        {"rate": ContinuousParameter(0, 1), "kind": CategoricalParameter(["a", "b"])},
        metric_definitions=[{"Name": "score", "Regex": "score=(.*?);"}],
        strategy="Random",
        max_jobs=3,
        max_parallel_jobs=2,
    )
    tuner.fit(job_name="second", wait=False)
    tuner.wait()
    table = tuner.analytics().dataframe()
    best = tuner.best_training_job()
    assert list(table.sort_values("FinalObjectiveValue")["TrainingJobName"])[-1] == best
    found = tuner.best_estimator()
    assert found.model_data.endswith(f"{best}/output/model.tar.gz"), found.model_data
    again = HyperparameterTuner.attach("second", sagemaker_session=session)
    assert again.best_training_job() == best
    assert again.describe()["HyperParameterTuningJobStatus"] == "Completed"
    trained = Estimator.attach(best, sagemaker_session=session)
    assert trained.latest_training_job.name == best
    assert trained.hyperparameters()["epochs"] in (3, "3")
    told = sagemaker.analytics.TrainingJobAnalytics(best, ["score"], start_time=None, sagemaker_session=session)
    assert told.name == best
    model = tuner.best_estimator().create_model(role=role, image_uri=IMAGE)
    assert model.model_data == found.model_data
    predictor = tuner.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name="served")
    assert predictor is None or predictor.endpoint_name == "served"
    served = session.sagemaker_client.describe_endpoint(EndpointName="served")
    assert served["EndpointStatus"] == "InService"
    tuner.stop_tuning_job()


if __name__ == "__main__":
    main(sys.argv[1])
