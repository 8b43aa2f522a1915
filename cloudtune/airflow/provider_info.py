"""What Airflow reads of a provider package (entry point ``apache_airflow_provider``); loads nothing of Airflow."""

from typing import Any

from cloudtune.plugins.version import __version__


def get_provider_info() -> dict[str, Any]:
    """Return the metadata: see Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "cloudtune",
        "name": "cloudtune",
        "description": "Hyperparameter-tuning jobs on this machine and on cloud services.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "cloudtune",
                "external-doc-url": "https://pypi.org/project/cloudtune/",
                "tags": ["software"],
            }
        ],
        "operators": [{"integration-name": "cloudtune", "python-modules": ["cloudtune.airflow.operators"]}],
        "sensors": [{"integration-name": "cloudtune", "python-modules": ["cloudtune.airflow.sensors"]}],
        "triggers": [{"integration-name": "cloudtune", "python-modules": ["cloudtune.airflow.triggers"]}],
    }
