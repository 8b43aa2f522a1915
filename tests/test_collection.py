"""To collect the tests loads none of the packages that take seconds and hundreds of megabytes: each worker collects them all."""

import subprocess
import sys
from pathlib import Path

SLOW = {
    "azure.ai.ml", "azure.core", "boto3", "botocore", "google.api_core", "google.cloud.aiplatform", "google.cloud.aiplatform_v1",
    "grpc", "hyperopt", "kubeflow_katib_api", "mlflow", "moto", "optuna", "pandas", "pyarrow", "ray", "sagemaker.core", "scipy",
    "sklearn", "tensorboard", "torch",
}  # fmt: skip

COLLECT = f"""
import sys
import pytest

status = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", {str(Path(__file__).parent)!r}])
print("loaded:", *sorted({SLOW!r} & sys.modules.keys()))
sys.exit(status)
"""


def test_collecting_all_tests_loads_no_service_and_no_framework() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    assert done.stdout.splitlines()[-1] == "loaded:", "import it under `if LATE:`, see late.py"
