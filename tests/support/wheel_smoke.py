"""Plans one job on every provider of the installed distribution, and fails where one cannot; needs nothing beside it.

Run with an interpreter that has a wheel of cloudtune and no SDK: ``python tests/support/wheel_smoke.py``.
"""

import sys

import cloudtune
from cloudtune import TuningJob, plan
from cloudtune.plugins.entry_points import providers

JOB = {
    "name": "smoke",
    "trial": {
        "command": "python train.py --x {x}",
        "image": {
            "sagemaker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1",
            "vertex": "europe-docker.pkg.dev/p/r/training:1",
            "azureml": "azureml:own@latest",
            "kubernetes": "registry.example.com/training:1",
        },
    },
    "objective": {"metric": "score", "goal": "maximize"},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "limits": {"trials": 4, "parallel": 2},
    "output": {"databricks": "/Volumes/main/default/tuning"},
    "identity": {"sagemaker": "arn:aws:iam::123456789012:role/r"},
}
OURS = {"azureml", "databricks", "kubernetes", "local", "mixed", "ray", "sagemaker", "slurm", "vertex"}
SDKS = ("boto3", "botocore", "google.cloud", "azure", "databricks", "ray", "kubernetes")


def main() -> None:
    """Plan on each provider, and say which there were."""
    found = set(providers())
    missing = OURS - found
    if missing:
        sys.exit(f"the distribution has lost its entry points: {sorted(missing)}")
    for name in sorted(found):
        planned = plan(TuningJob.from_data(JOB), "local,ray" if name == "mixed" else name)
        planned.refuse()
        if not planned.request:
            sys.exit(f"the plan for {name} has no request")
        print(f"{name}: {planned.mode}")
    loaded = [name for name in SDKS if name in sys.modules]
    if loaded:
        sys.exit(f"plans have loaded SDKs: {loaded}")
    print(cloudtune.__file__)


if __name__ == "__main__":
    main()
