"""What Slurm is asked for the tasks of a run: said in a profile for all of its jobs, under ``slurm:`` in a job for that one."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator

from cloudtune.process.setting import LOG_SIZE
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.fields import Duration, Size

Said = Annotated[str, Field(min_length=1)]
Listed = Annotated[tuple[Said, ...], BeforeValidator(lambda said: said.split() if isinstance(said, str) else said)]

OURS = (
    "array", "begin", "chdir", "comment", "dependency", "error", "help", "hold", "input", "job-name", "output", "parsable", "test-only",
    "usage", "version", "wait", "wrap",
)  # fmt: skip
"""Options of sbatch that cloudtune gives itself, or by which it could not find its jobs again."""

_SHORT = {"-a": "array", "-b": "begin", "-d": "dependency", "-D": "chdir", "-e": "error", "-h": "help", "-H": "hold", "-i": "input",
    "-J": "job-name", "-o": "output", "-V": "version", "-W": "wait"}  # fmt: skip


class Placement(SpecModel):
    """Options of sbatch by their own names; null for the cluster's default."""

    partition: Said | None = None
    """One partition, or several, separated by commas."""
    account: Said | None = None
    """The account that is charged."""
    qos: Said | None = None
    """The quality of service."""
    constraint: Said | None = None
    """Features that a node must have, such as ``a100&nvlink``."""
    gres: Said | None = None
    """Generic resources of each node, beside the GPUs that compute.accelerators asks for."""
    reservation: Said | None = None
    """The reservation whose nodes are used."""
    nodelist: Said | None = None
    """Nodes that may be taken."""
    exclude: Said | None = None
    """Nodes that may not."""
    nice: int | None = None
    """How much later than others of the same priority trials start."""
    time: Duration | None = None
    """Slurm's limit for each trial; null for limits.trial_time and some minutes, else that of the partition."""
    requeue: bool = True
    """Whether Slurm starts a trial again whose node failed or which was preempted; else cloudtune does, at the queue's end."""
    signal: Annotated[str, Field(pattern=r"^[A-Z0-9]+(@\d+)?$")] = "TERM@60"
    """The signal that a trial's job gets before Slurm's limit ends it, and so many seconds before."""
    prologue: str = ""
    """Lines for bash before the trials of a task: ``module load …``, ``conda activate …``."""
    container: str = ""
    """Words before the trial's command: ``apptainer exec --nv docker://{image}``; ``{image}`` is trial.image."""
    options: Listed = ()
    """Further options of sbatch, such as ``--exclusive``."""

    @field_validator("options")
    @classmethod
    def _not_ours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if not word.startswith("-"):
                raise ValueError(f"{word!r} is no option; write an option and its value as one word: --option=value")
            name = word.removeprefix("--").partition("=")[0] if word.startswith("--") else _SHORT.get(word[:2], "")
            if name in OURS:
                raise ValueError(f"--{name} is for cloudtune to say: it finds its jobs by it; take it away")
        return value

    def under(self, own: Mapping[str, Any]) -> Self:
        """Return this placement with what a job says itself in the place of the same fields.

        Raises:
            pydantic.ValidationError: the job says something that Slurm or cloudtune does not know.
        """
        return type(self).model_validate({**self.model_dump(exclude_unset=True), **own})


class SlurmJob(Placement):
    """The settings under ``slurm:``."""

    data: Literal["shared", "shipped"] | None = None
    """shared: all nodes see the data at the same path; shipped: it is copied to the run's folder on the cluster.

    Null: shipped where the cluster is reached by ssh, else shared.
    """
    trials_per_task: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Trials that one task runs, one after the other, at most.

    Null: one trial of more than a minute; shorter ones share tasks for two minutes, as a start by Slurm takes seconds.
    """
    grace: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Seconds between the request to end (SIGTERM) and the end (SIGKILL), at most Slurm's own KillWait."""
    log_size: Annotated[Size, Field(ge=4096)] = LOG_SIZE
    """How much of its output the log of a trial keeps: the first half of so much, and the last of it."""
