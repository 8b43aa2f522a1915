"""To collect the tests loads none of the packages that take seconds and hundreds of megabytes: each worker collects them all."""

import pytest
from late import COLLECTED

SLOW = {
    "azure.ai.ml", "azure.core", "boto3", "botocore", "google.api_core", "google.cloud.aiplatform", "google.cloud.aiplatform_v1",
    "grpc", "hyperopt", "kubeflow_katib_api", "mlflow", "moto", "optuna", "pandas", "pyarrow", "ray", "sagemaker.core", "scipy",
    "sklearn", "tensorboard", "torch",
}  # fmt: skip


def test_collecting_the_tests_loaded_no_service_and_no_framework(pytestconfig: pytest.Config) -> None:
    """Of the tests that this process has collected, which are all of them where all are run."""
    assert sorted(SLOW & pytestconfig.stash[COLLECTED]) == [], "import it under `if LATE:`, see late.py"
