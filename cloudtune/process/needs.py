"""What one trial needs of its machine. Imports little of the standard library: most trials need nothing in particular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a node of a cluster has only the standard library
    from collections.abc import Mapping

    from cloudtune.spec.job import TuningJob

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which numeric libraries bound their threads."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one trial needs of a machine; None for whatever there is, shared with all.

    Attributes:
        cpus: processors, or a part of one.
        memory: bytes.
        gpus: how many, or what part of one.
    """

    cpus: float | None = None
    memory: int | None = None
    gpus: float | None = None

    def __bool__(self) -> bool:
        return self != Needs()


def needs_of(job: TuningJob) -> Needs:
    """Return what one trial of a job needs of its machine."""
    compute = job.compute
    return Needs(compute.cpus, compute.memory, None if compute.accelerators is None else compute.accelerators.count)


def thread_limits(needs: Needs, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that bound the threads of a trial, apart from those that its environment has."""
    if needs.cpus is None:
        return {}
    return {name: str(max(1, -int(-needs.cpus // 1))) for name in THREADS if name not in environ}
