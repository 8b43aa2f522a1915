"""Print the steps that SageMaker's own SDK writes for some tuners, as JSON; run where `sagemaker-mlops` is installed.

Nothing is asked of a service: what the SDK would ask IAM about the role is left out, and so is the serving of models, which the
package imports although no tuning step needs it.
"""

# ruff: noqa: E402  # what the imports need is put in place before them

import json
import sys
import types
from typing import Any

import boto3

for name in ("sagemaker.serve", "sagemaker.serve.model_builder"):
    module = types.ModuleType(name)
    module.__dict__.update(__path__=[], ModelBuilder=type("ModelBuilder", (), {}))
    sys.modules[name] = module

from sagemaker.core.helper import iam_role_resolver
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.steps import TuningStep
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, OutputDataConfig, StoppingCondition
from sagemaker.train.tuner import HyperparameterTuner

iam_role_resolver._simulate_denied_actions = lambda *_, **__: ([], [])
iam_role_resolver._role_trusts_service = lambda *_, **__: True
SESSION = PipelineSession(boto_session=boto3.Session("id", "key", region_name="us-east-1"), default_bucket="bucket")
RANGES = {
    "lr": ContinuousParameter(1e-4, 1e-1, scaling_type="Logarithmic"),
    "depth": IntegerParameter(2, 9),
    "act": CategoricalParameter(["relu", "gelu"]),
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"strategy": "Random", "random_seed": 7, "early_stopping_type": "Auto"},
    {"max_runtime_in_seconds": 7200, "objective_type": "Maximize"},
    {"strategy": "Grid", "hyperparameter_ranges": {"act": RANGES["act"]}, "max_jobs": None},
    {"tags": [{"Key": "team", "Value": "ml"}]},
]


def step(settings: dict[str, Any]) -> Any:
    trainer = ModelTrainer(
        training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
        role="arn:aws:iam::123456789012:role/tuning",
        base_job_name="base",
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_in_gb=30),
        output_data_config=OutputDataConfig(s3_output_path="s3://bucket/out"),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
        hyperparameters={"epochs": "3"},
        sagemaker_session=SESSION,
    )
    given = {
        "objective_metric_name": "loss",
        "metric_definitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        "objective_type": "Minimize",
        "max_jobs": 4,
        "max_parallel_jobs": 2,
        "hyperparameter_ranges": RANGES,
        **settings,
    }
    return TuningStep("tune", step_args=HyperparameterTuner(trainer, **given).tune()).to_request()


if __name__ == "__main__":
    print(json.dumps([step(settings) for settings in SETTINGS], default=str))
