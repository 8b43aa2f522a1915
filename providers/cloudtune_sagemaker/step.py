"""A tuning job as the step of a pipeline of SageMaker.

https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ has the definition's schema; a
step of type ``Tuning`` takes the members of CreateHyperParameterTuningJob without the name, which each execution makes anew.
"""

from collections.abc import Mapping
from typing import Any

_VERSION = "2020-12-01"
"""The version of the definition's schema."""


def pipeline_with(request: Mapping[str, Any], name: str, description: str) -> dict[str, Any]:
    """Return the definition of a pipeline whose only step is a tuning job, for CreatePipeline's ``PipelineDefinition``.

    Args:
        request: of the tuning job.
        name: of the step.
        description: of the step.
    """
    arguments = {key: value for key, value in request.items() if key != "HyperParameterTuningJobName"}
    step = {"Name": name, "Type": "Tuning", "Description": description, "Arguments": arguments}
    return {"Version": _VERSION, "Metadata": {}, "Parameters": [], "Steps": [step]}
