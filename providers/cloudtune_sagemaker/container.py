"""What Amazon SageMaker gives a trial in its container, and what it expects there.

It travels with the trial helper (see `cloudtune.trial.container`): the standard library alone, and Python 3.8 or newer.
"""

# ruff: noqa: PTH100, PTH103, PTH118, PTH120, PTH123  # pathlib would double the time that importing this file takes
# what only some trials need is imported when they need it

from __future__ import annotations

import json
import os
import re


class Container:
    """What SageMaker gives a training job: folders below ``/opt/ml``, and hyperparameters that are all texts.

    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    """

    def __init__(self) -> None:
        configuration = os.environ.get("SM_INPUT_CONFIG_DIR", "/opt/ml/input/config")
        self.root = os.path.dirname(os.path.dirname(os.path.abspath(configuration)))
        self.configuration = configuration

    def parameters(self) -> dict[str, str]:
        """Return the hyperparameters by the service's names."""
        with open(os.path.join(self.configuration, "hyperparameters.json"), encoding="utf-8") as file:
            found: dict[str, str] = json.load(file)
        return found

    def environment(self) -> dict[str, str]:
        """Return the variables by which `cloudtune.trial` finds its way in the processes of the trial."""
        name = os.environ.get("TRAINING_JOB_NAME", "")
        number = re.search(r"-(\d+)-[0-9a-z]+\Z", name)
        return {
            "CLOUDTUNE_TRIAL": os.environ.get("CLOUDTUNE_TRIAL") or str(int(number.group(1)) - 1 if number else 0),
            "CLOUDTUNE_RUN": os.environ.get("CLOUDTUNE_RUN") or name,
            "CLOUDTUNE_OUTPUT_DIR": os.path.join(self.root, "model"),
            "CLOUDTUNE_CHECKPOINT_DIR": os.path.join(self.root, "checkpoints"),
            "CLOUDTUNE_RANK": str(self._rank()),
        }

    def _rank(self) -> int:
        """Return which of the job's machines this is, as its resource configuration orders them."""
        try:
            with open(os.path.join(self.configuration, "resourceconfig.json"), encoding="utf-8") as file:
                resources = json.load(file)
            rank: int = sorted(resources["hosts"]).index(resources["current_host"])
        except (OSError, ValueError, KeyError):
            return 0  # an older service, or a test: one machine
        return rank

    def data(self, name: str, variable: str) -> str:
        """Return the folder of an input."""
        return os.path.join(self.root, "input", "data", channel_name(name, variable))

    def sink(self) -> None:
        """Return None: the service reads the output itself."""

    def fail(self, reason: str) -> None:
        """Tell the service why the trial failed; it shows the first 1,024 characters."""
        folder = os.path.join(self.root, "output")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "failure"), "w", encoding="utf-8") as file:
            file.write(reason)


def channel_name(name: str, variable: str) -> str:
    """Return the service's name of an input: its own where that is legal, else the end of its variable's.

    Legal are 1 to 64 letters, digits, dots, dashes and underscores of ASCII (ChannelName of the API's Channel).

    Args:
        name: of the input in the job.
        variable: ``CLOUDTUNE_DATA_NAME``, see `cloudtune.trial.data_variable`.
    """
    return name if re.match(r"[A-Za-z0-9._-]{1,64}\Z", name) else variable[len("CLOUDTUNE_DATA_") :][:64]
