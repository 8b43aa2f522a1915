"""Batches: arrays of trials that are submitted together, as sbatch and their tasks get them."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudtune.process.setting import Setting
from cloudtune.spec.sources import heard
from cloudtune.store.records import Trial
from cloudtune.trial.commands import compile_command
from cloudtune.trial.hearing import variables
from cloudtune_slurm.apart import script
from cloudtune_slurm.orders import BATCHES, SHARE

_APART = ("--chdir=/", "--output=/dev/null")
"""Options of sbatch where nodes do not see the run's folder."""

MOST = 1000
"""Most tasks of one array: one less than Slurm's own default of MaxArraySize."""


@dataclass(frozen=True)
class Briefing:
    """The data from which the batches of one run are made.

    Attributes:
        setting: of all trials, with paths of this machine.
        request: of the plan; see `cloudtune_slurm.translate.translate`.
        name: of the run's jobs in Slurm.
        environment: the values of the job's variables.
        data: the places of the inputs on the nodes by variable; relative ones are below the run's folder there.
        work: the folder that trials start in; None for the run's source there.
        outputs: the folder below which trials leave outputs on the nodes; None for the run's own there.
        python: the interpreter on the nodes.
        local: the folder on the nodes' own disks where they do not see the run's; None where they do.
    """

    setting: Setting
    request: Mapping[str, Any]
    name: str
    environment: Mapping[str, str]
    data: Mapping[str, str]
    work: str | None
    outputs: str | None
    python: str
    local: str | None = None

    @property
    def shared(self) -> dict[str, Any]:
        """What names the files of attempts; see `cloudtune_slurm.task.files_of`."""
        return {"outputs": self.outputs, "log_size": self.setting.log_size}

    @property
    def apart(self) -> dict[str, Any]:
        """What the agent has to know of nodes that do not see the run's folder; {} where they do."""
        return {} if self.local is None else {"apart": (self.local, self.python)}

    @property
    def per_task(self) -> int | None:
        """Trials that one task runs, one after the other, at most; None where their lengths decide."""
        most = self.request["settings"]["trials_per_task"]
        return None if most is None else int(most)

    @property
    def share(self) -> float:
        """Seconds for which a task goes on to begin trials; see `cloudtune_slurm.orders.SHARE`."""
        return float(self.request.get("share", SHARE))  # a run of before has none

    def array(self, tasks: int) -> str:
        """Return the option of sbatch for so many tasks, of which as many run at once as the job says."""
        return f"--array=0-{tasks - 1}%{self.setting.job.limits.parallel}"

    def batch(self, name: str, root: Path, trials: Sequence[Trial]) -> dict[str, Any]:
        """Return a batch for `cloudtune_slurm.agent.call`; the order of its trials is that of its tasks.

        The first of its options is that of `array`.

        Args:
            name: of the batch, unique in its run.
            root: the run's folder on the cluster.
            trials: in their present attempts.
        """
        return {
            "name": name,
            "options": [
                self.array(math.ceil(len(trials) / (self.per_task or 1))),
                f"--job-name={self.name}",
                f"--comment={name}",
                *([f"--chdir={root}", f"--output={root}/{printed(name, '%a')}"] if self.local is None else _APART),
                "--open-mode=append",
                *self.request["sbatch"],
            ],
            "script": self._script(name, root),
            "content": {"shared": self._content(root), "orders": [self._order(trial) for trial in trials]},
        }

    def _script(self, name: str, root: Path) -> str:
        prologue = self.request["settings"]["prologue"]
        lib = shlex.quote(str(root / "lib"))
        head = [
            "#!/bin/bash -l" if prologue else "#!/bin/sh",  # modules and conda are functions of a login shell
            *(["set -e", prologue, "set +e"] if prologue else []),
        ]
        if self.local is not None:
            return "\n".join([*head, *script(self.local, name, self.python, nodes=self.request["count"])])
        return "\n".join(
            [
                *head,
                f"export PYTHONPATH={lib}${{PYTHONPATH:+:$PYTHONPATH}}",
                f"exec {self.python} -S -m cloudtune_slurm.task {shlex.quote(f'{root}/{BATCHES}/{name}.json')}",
                "",
            ]
        )

    def _content(self, root: Path) -> dict[str, Any]:
        setting = self.setting
        return {
            **self.shared,
            "run": setting.run_id,
            "work": self.work or str(root / "source"),
            "data": {variable: str(root / place) for variable, place in self.data.items()},
            "environment": {**self.environment, **variables(heard(setting.job))},
            "per_task": self.per_task,
            "share": self.share,
            "prologue": bool(self.request["settings"]["prologue"]),
            "cpus": setting.job.compute.cpus,
            "seconds": setting.seconds,
            "grace": setting.grace,
        }

    def _order(self, trial: Trial) -> dict[str, Any]:
        return {
            "number": trial.number,
            "attempt": trial.attempt,
            "parameters": trial.parameters,
            "argv": [*self._prefix(), *self._argv(trial)],
        }

    def _prefix(self) -> list[str]:
        image = str(self.request["image"] or "")
        return [word.replace("{image}", image) for word in shlex.split(self.request["settings"]["container"])]

    def _argv(self, trial: Trial) -> list[str]:
        job = self.setting.job
        if job.trial.command is not None:
            return compile_command(job.trial.command, list(job.space))(trial.parameters, trial.number)
        python = "python3" if self._prefix() else ""  # "": that of the node
        return [python, "-m", "cloudtune.trial", "--function", str(job.trial.function), "--metric", self.setting.metric]


def printed(batch: str, index: object) -> str:
    """Return the path, below the run's folder, of what a task prints outside of its trial."""
    return f"{BATCHES}/{batch}-{index}.out"
