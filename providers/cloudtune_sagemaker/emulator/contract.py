"""The folder and the environment that a training program finds: SageMaker's container contract.

The files: "How Amazon SageMaker Provides Training Information". The variables SM_*: those of the
sagemaker-training-toolkit (its ENVIRONMENT_VARIABLES.md), which the framework images have; the emulator sets them for
every program, since they lead to the folder where ``/opt/ml`` cannot be mounted.
"""

import functools
import json
import logging
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudtune.emulation.output import whole
from cloudtune_sagemaker.emulator.training import BASE, Host, Training, processors

PREFIX = "sagemaker_"
"""Hyperparameters that begin so are for the toolkit, not for the program (params.SAGEMAKER_PREFIX of the toolkit)."""

_FOR_THE_TOOLKIT = ("_tuning_objective_metric", "default_user_module_name")
_FOLDERS = ("input/config", "input/data", "model", "output/data", "output/intermediate", "code", "checkpoints")


@dataclass(frozen=True, slots=True)
class Room:
    """What stands for the file system of one machine.

    Attributes:
        host: the machine.
        root: what the program sees as ``/opt/ml``.
        base: how the program gets there: ``/opt/ml``, or the root itself where nothing can be mounted.
    """

    host: Host
    root: Path
    base: str

    @property
    def mounted(self) -> bool:
        """Whether the program really finds its folder at ``/opt/ml``."""
        return self.base == BASE

    def inside(self, path: str) -> Path | None:
        """Return where the file of a path below the base is; None for a path elsewhere, which only an image has."""
        below = Path(self.seen(path))
        if not below.is_relative_to(self.base) or ".." in below.parts:
            return None
        return self.root / below.relative_to(self.base)

    def seen(self, text: str) -> str:
        """Return a text with its paths below ``/opt/ml`` as the program can open them."""
        return text if self.mounted else whole(BASE).sub(lambda _: self.base, text)

    def prepare(self, training: Training) -> None:
        """Make the folders, empty, and the files of ``input/config``."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in _FOLDERS:
            (self.root / folder).mkdir(parents=True)
        hyperparameters = {name: self.seen(value) for name, value in training.hyperparameters.items()}
        self._write("hyperparameters", hyperparameters)
        self._write("inputdataconfig", training.input_data_config())
        self._write("resourceconfig", training.resource_config(self.host))

    def _write(self, name: str, data: object) -> None:
        (self.root / "input" / "config" / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Return hyperparameters as the toolkit reads them: each value from JSON, or as it stands where it is none."""
    return {name: _decode(text) for name, text in hyperparameters.items()}


def _decode(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def for_the_program(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those hyperparameters that the program gets from the toolkit."""
    return {
        name: value for name, value in values.items() if not name.startswith(PREFIX) and name not in _FOR_THE_TOOLKIT
    }


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Return the toolkit's command line: ``--name value``, sorted by name; ``-n value`` for a name of one letter."""
    words: list[str] = []
    for name, value in sorted(values.items()):
        words += [f"--{name}" if len(name) > 1 else f"-{name}", _word(value)]
    return words


def _word(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{key}={inner}" for key, inner in sorted(value.items()))
    return "" if value is None else str(value)


def variables(training: Training, room: Room) -> dict[str, str]:
    """Return the environment that the contract gives to the program on one machine."""
    given = decoded({name: room.seen(value) for name, value in training.hyperparameters.items()})
    facts = _facts(training, room, given)
    listed = {
        "hps": facts["hyperparameters"],
        "framework_params": facts["additional_framework_parameters"],
        "channels": sorted(facts["channel_input_dirs"]),
        "training_env": facts,
        "user_args": arguments(facts["hyperparameters"]),
        **{name: fact for name, fact in facts.items() if name not in _ONLY_IN_TRAINING_ENV},
        **{f"channel_{name}": path for name, path in facts["channel_input_dirs"].items()},
        **{f"hp_{name}": value for name, value in facts["hyperparameters"].items()},
    }
    return {**_service_variables(training, room), **{f"SM_{name.upper()}": _text(it) for name, it in listed.items()}}


_ONLY_IN_TRAINING_ENV = (
    "additional_framework_parameters", "channel_input_dirs", "distribution_hosts", "hyperparameters", "is_master",
    "is_modelparallel_enabled", "is_smddpmprun_installed", "is_smddprun_installed", "job_name", "master_hostname",
    "topology",
)  # fmt: skip


def _facts(training: Training, room: Room, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the toolkit knows of its environment, by the toolkit's names (SM_TRAINING_ENV)."""
    resources = training.resource_config(room.host)
    groups = {group["instance_group_name"]: group for group in resources["instance_groups"]}
    program = given.get("sagemaker_program") or training.environment.get("SAGEMAKER_PROGRAM") or ""
    return {
        "additional_framework_parameters": _framework_parameters(given),
        "channel_input_dirs": {name: f"{room.base}/input/data/{name}" for name in training.input_data_config()},
        "current_host": room.host.name,
        "current_instance_group": room.host.group,
        "current_instance_group_hosts": groups[room.host.group]["hosts"],
        "current_instance_type": room.host.instance_type,
        "distribution_hosts": [],
        "distribution_instance_groups": [],
        "framework_module": None,
        "hosts": resources["hosts"],
        "hyperparameters": for_the_program(given),
        "input_config_dir": f"{room.base}/input/config",
        "input_data_config": training.input_data_config(),
        "input_dir": f"{room.base}/input",
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "is_hetero": len(groups) > 1,
        "is_master": room.host.name == resources["hosts"][0],
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": training.name,
        "log_level": given.get("sagemaker_container_log_level", logging.INFO),
        "master_hostname": resources["hosts"][0],
        "model_dir": f"{room.base}/model",
        "module_dir": given.get("sagemaker_submit_directory", f"{room.base}/code"),
        "module_name": str(program).removesuffix(".py"),
        "network_interface_name": resources["network_interface_name"],
        "num_cpus": processors(),
        "num_gpus": graphics_processors(),
        "num_neurons": 0,
        "output_data_dir": f"{room.base}/output/data",
        "output_dir": f"{room.base}/output",
        "output_intermediate_dir": f"{room.base}/output/intermediate",
        "resource_config": resources,
        "topology": [],
        "user_entry_point": program,
    }


_TOOLKIT_NAMES = (
    "program", "submit_directory", "enable_cloudwatch_metrics", "region", "container_log_level", "job_name", "s3_output",
)  # fmt: skip


def _framework_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    own = {PREFIX + name for name in _TOOLKIT_NAMES}
    return {name: value for name, value in given.items() if name.startswith(PREFIX) and name not in own}


def _service_variables(training: Training, room: Room) -> dict[str, str]:
    """Return what the service itself sets for every container, and the toolkit's base folder where that is another."""
    named = {
        "TRAINING_JOB_NAME": training.name,
        "TRAINING_JOB_ARN": training.arn,
        "AWS_REGION": training.region,
        "AWS_DEFAULT_REGION": training.region,
        "CURRENT_HOST": room.host.name,
        "SAGEMAKER_REGION": training.region,
        "SAGEMAKER_JOB_NAME": training.name,
    }
    return named if room.mounted else {**named, "SAGEMAKER_BASE_DIR": room.base}


def _text(value: object) -> str:
    """Return a value as the toolkit writes it into the environment."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


@functools.cache
def graphics_processors() -> int:
    """How many GPUs a training sees, as the toolkit counts them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    shown = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, check=False).stdout
    return sum(line.startswith("GPU ") for line in shown.splitlines())
