"""How the values of a driven trial reach its container: as they stand."""

import json

from cloudtune.space.parameters import Parameter
from cloudtune.space.space_codec import Flattened, SpaceCodec
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial
from cloudtune_kubernetes.pod import helped

VALUES = "CLOUDTUNE_VALUES"
"""The environment variable with a trial's parameters, as JSON."""


def driven_codec(job: TuningJob) -> SpaceCodec:
    """Return how the values of a job's space travel to a driven trial: as they stand, in JSON."""
    return Flattened(job.search_space(), _no_codecs)


def _no_codecs(parameter: Parameter) -> tuple[()]:  # noqa: ARG001  # of any
    return ()


def parameters_of(job: TuningJob, trial: Trial) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the variables by which a driven trial's container gets its parameters."""
    if helped(job):
        return [], {VALUES: json.dumps(driven_codec(job).encode(trial.parameters))}
    return [f"--{name}={_text(value)}" for name, value in trial.parameters.items()], {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
