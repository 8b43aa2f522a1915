"""Access to a job's native settings for Katib: parts of an experiment, of any shape until they are checked."""

from collections.abc import Mapping
from typing import Any

from cloudtune.interop.katib.model import JOB, PRIMARY
from cloudtune.interop.katib.templates import containers

NAME = "katib"
"""The key of Katib's settings under ``native``."""

NAMES = "names"
"""The member of native settings with Katib's names of parameters; all other members are those of an experiment."""


class Own:
    """Native settings for Katib.

    Args:
        native: the job's settings under ``native.katib``.
    """

    def __init__(self, native: Mapping[str, Any]) -> None:
        self._native = native
        self.template = self.member("spec", "trialTemplate")
        self.trial_spec = self.member("spec", "trialTemplate", "trialSpec")
        self.primary = str(self.template.get("primaryContainerName", PRIMARY))
        self.by_config_map = "configMap" in self.template
        self.is_job = self.trial_spec.get("kind", JOB) == JOB and not self.by_config_map

    def member(self, *path: str) -> Mapping[str, Any]:
        """Return the mapping at a path; {} for none."""
        found: Any = self._native
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def name_of(self, name: str) -> str:
        """Return Katib's name of a parameter."""
        return str(self.member(NAMES).get(name, name))

    @property
    def has_container(self) -> bool:
        """Whether the template has a container for the job's program."""
        return self.is_job or any(True for _ in containers(self.trial_spec, self.primary))

    @property
    def has_command(self) -> bool:
        """Whether the template's container has a command of its own."""
        found = containers(self.trial_spec, self.primary)
        return any(container.get("command") or container.get("args") for container in found)

    def without_trial_spec(self) -> dict[str, Any]:
        """Return the parts of an experiment without the trial's template, which is built separately."""
        given = {name: part for name, part in self._native.items() if name != NAMES}
        if not isinstance(self.template.get("trialSpec"), Mapping):
            return given
        template = {name: part for name, part in self.template.items() if name != "trialSpec"}
        return {**given, "spec": {**self.member("spec"), "trialTemplate": template}}
