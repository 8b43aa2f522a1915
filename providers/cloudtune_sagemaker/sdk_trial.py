"""A user's own ``sagemaker.train.ModelTrainer`` as the trial of a job.

Everything that the trainer says reaches the spec: what another provider could do as well in the neutral fields, the
rest under ``sagemaker``. Only public attributes of the trainer are read (sagemaker-train 1.27), and its package is
not imported here.
"""

from collections.abc import Mapping
from typing import Any

from cloudtune.planning.reading import job_with
from cloudtune.spec.job import TuningJob

_SILENT = ("Unassigned",)
"""Classes by which sagemaker-core says that a member was not given."""


def job_of(trainer: Any, *, objective: Any, space: Mapping[str, Any], **fields: Any) -> TuningJob:
    """Return the tuning job whose trials train as a ``ModelTrainer`` does.

    Args:
        trainer: a ``sagemaker.train.ModelTrainer``.
        objective: as in a job, e.g. ``{"metric": "loss", "goal": "minimize"}``.
        space: what to vary; it takes the place of the trainer's hyperparameters of the same names, and the others
            become constants.
        **fields: further fields of the job, such as ``limits`` and ``strategy``; they win over the trainer's.

    Raises:
        SpecError: the job is not valid, or the trainer needs what a tuning job has not.
    """
    data = {
        "name": _text(trainer.base_job_name) or "model-trainer",
        "trial": _trial(trainer),
        "objective": objective,
        "space": _constants(trainer, space) | dict(space),
        "compute": _compute(trainer),
        "data": _inputs(trainer),
        "output": _of(trainer.output_data_config, "s3_output_path"),
        "identity": _text(trainer.role),
        "network": _network(trainer),
        "encryption": _encryption(trainer),
        "limits": _limits(trainer),
        "tags": {_of(tag, "key"): _of(tag, "value") or "" for tag in trainer.tags or []},
        "sagemaker": _native(trainer),
    }
    given = {name: value for name, value in data.items() if value not in (None, {})}
    return job_with(given, fields, "the trainer")


def _of(part: Any, member: str) -> Any:
    """Return a member of a part of the trainer; None where the part, or the member, was not given."""
    value = getattr(part, member, None)
    return None if type(value).__name__ in _SILENT else value


def _text(value: Any) -> str | None:
    return None if value is None or type(value).__name__ in _SILENT else str(value)


def _trial(trainer: Any) -> dict[str, Any]:
    source = trainer.source_code
    trial = {
        "image": _text(trainer.training_image),
        "source": _of(source, "source_dir"),
        "command": _command(source),
        "environment": {name: str(value) for name, value in (trainer.environment or {}).items()},
        "ignore": _of(source, "ignore_patterns"),
    }
    return {name: value for name, value in trial.items() if value}


def _command(source: Any) -> str | None:
    """Return what the trainer's driver would execute in the source folder."""
    script, command = _of(source, "entry_script"), _of(source, "command")
    if command is None and script is not None:
        command = f"{'python' if script.endswith('.py') else 'sh'} {script}"
    if command is None:
        return None
    words = [command, *(str(argument) for argument in _of(source, "args") or [])]
    requirements = _of(source, "requirements")
    install = f"pip install -q -r {requirements} && " if requirements else ""
    return install + " ".join(words)


def _constants(trainer: Any, space: Mapping[str, Any]) -> dict[str, Any]:
    own = trainer.hyperparameters if isinstance(trainer.hyperparameters, Mapping) else {}
    scalar = (bool, int, float, str, type(None))
    return {
        name: {"type": "constant", "value": value if isinstance(value, scalar) else str(value)}
        for name, value in own.items()
        if name not in space
    }


def _compute(trainer: Any) -> dict[str, Any]:
    part = trainer.compute
    disk = _of(part, "volume_size_in_gb")
    compute = {
        "instance": _of(part, "instance_type"),
        "count": _of(part, "instance_count"),
        "disk": None if disk is None else f"{disk}GB",
        "spot": _of(part, "enable_managed_spot_training"),
        "keep": _of(part, "keep_alive_period_in_seconds") or None,
        "max_wait": _of(trainer.stopping_condition, "max_wait_time_in_seconds"),
    }
    return {name: value for name, value in compute.items() if value is not None}


def _inputs(trainer: Any) -> dict[str, str]:
    places = {_of(given, "channel_name"): _place(given) for given in trainer.input_data_config or []}
    return {name: place for name, place in places.items() if place is not None}


def _place(given: Any) -> str | None:
    """Return where an ``InputData`` or a ``Channel`` lies; None for what is no place in S3 or on this machine."""
    source = _of(given, "data_source")
    if isinstance(source, str):
        return source
    in_s3 = _of(source, "s3_data_source") or source
    uri = _of(in_s3, "s3_uri")
    return None if uri is None else str(uri)


def _network(trainer: Any) -> dict[str, Any]:
    part = trainer.networking
    network = {
        "subnets": _of(part, "subnets"),
        "security_groups": _of(part, "security_group_ids"),
        "isolated": _of(part, "enable_network_isolation"),
    }
    return {name: value for name, value in network.items() if value}


def _encryption(trainer: Any) -> dict[str, Any]:
    encryption = {
        "key": _of(trainer.output_data_config, "kms_key_id"),
        "volume_key": _of(trainer.compute, "volume_kms_key_id"),
        "traffic": _of(trainer.networking, "enable_inter_container_traffic_encryption"),
    }
    return {name: value for name, value in encryption.items() if value}


def _limits(trainer: Any) -> dict[str, Any]:
    seconds = _of(trainer.stopping_condition, "max_runtime_in_seconds")
    return {} if seconds is None else {"trial_time": seconds}


def _native(trainer: Any) -> dict[str, Any]:
    """Return what only SageMaker has a place for."""
    definition: dict[str, Any] = {}
    algorithm = {"AlgorithmName": _text(trainer.algorithm_name), "TrainingInputMode": _input_mode(trainer)}
    if any(algorithm.values()):
        definition["AlgorithmSpecification"] = {name: value for name, value in algorithm.items() if value}
    checkpoints = {
        "S3Uri": _of(trainer.checkpoint_config, "s3_uri"),
        "LocalPath": _of(trainer.checkpoint_config, "local_path"),
    }
    if checkpoints["S3Uri"]:
        definition["CheckpointConfig"] = {name: value for name, value in checkpoints.items() if value}
    compression = _of(trainer.output_data_config, "compression_type")
    if compression:
        definition["OutputDataConfig"] = {"CompressionType": compression}
    channels = [
        {"ChannelName": _of(given, "channel_name"), "ContentType": _of(given, "content_type")}
        for given in trainer.input_data_config or []
        if _of(given, "content_type")
    ]
    if channels:
        definition["InputDataConfig"] = channels
    return {"TrainingJobDefinition": definition} if definition else {}


def _input_mode(trainer: Any) -> str | None:
    mode = _text(trainer.training_input_mode)
    return None if mode == "File" else mode
