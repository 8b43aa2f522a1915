"""What Databricks gives a trial: all that the task of its run has put into the environment.

It travels with the trial helper (see `cloudtune.trial.container`): the standard library alone, and Python 3.8 or newer.
"""

# ruff: noqa: PTH123  # pathlib would double the time that importing this file takes

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Container:
    """The environment that ``task.py`` makes."""

    def parameters(self) -> dict[str, Any]:
        """Return the values by their names in the codec."""
        found: dict[str, Any] = json.loads(os.environ["CLOUDTUNE_VALUES"])
        return found

    def environment(self) -> dict[str, str]:
        """Return the variables of `cloudtune.trial` that are not set yet: the program has one machine."""
        return {"CLOUDTUNE_RANK": "0"}

    def data(self, name: str, variable: str) -> str:  # noqa: ARG002  # the variable holds its place
        """Return the folder or file of an input."""
        return os.environ.get(variable, "")

    def sink(self) -> None:
        """Return None: the task hands over what is printed, and the driver reads it."""

    def fail(self, reason: str) -> None:
        """Leave the reason to the task, which fails by it."""
        with open(os.environ["CLOUDTUNE_REASON"], "w", encoding="utf-8") as file:
            file.write(reason)
