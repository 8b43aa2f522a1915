"""Metrics that a trial's own process hears where the program logs them: ``source`` of objectives and constraints."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cloudtune.spec.constraint import Constraint
    from cloudtune.spec.objective import Objective

LIBRARIES = {"wandb": "wandb", "mlflow": "MLflow", "tensorboard": "TensorBoard"}
"""The libraries by the names of sources, as people write them."""


class Parts(Protocol):
    """The fields of a job that say where metrics come from."""

    @property
    def objective(self) -> Sequence["Objective"]: ...
    @property
    def constraints(self) -> Sequence["Constraint"]: ...
    @property
    def metrics(self) -> Mapping[str, str]: ...


def _measured(parts: Parts) -> Iterator[tuple[str, int, "Objective | Constraint"]]:
    yield from (("objective", index, each) for index, each in enumerate(parts.objective))
    yield from (("constraints", index, each) for index, each in enumerate(parts.constraints))


def source_paths(parts: Parts) -> list[str]:
    """Return the paths of the sources that a job names."""
    return [f"{field}[{index}].source" for field, index, each in _measured(parts) if each.source is not None]


def heard(parts: Parts) -> dict[str, str]:
    """Return the sources of the metrics that are heard, by the metrics' names."""
    return {each.metric: each.source for _, _, each in _measured(parts) if each.source is not None}


def source_problems(parts: Parts, *, starts: bool) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the problems of sources: a metric that is also looked for in the output, or nothing to hear it in.

    Args:
        parts: the job.
        starts: whether the job says what its trials start: a command or a function.
    """
    problems: list[tuple[tuple[str | int, ...], str]] = []
    objectives = {each.metric for each in parts.objective}
    for field, index, each in _measured(parts):
        if each.source is None:
            continue
        library = LIBRARIES[each.source]
        message = ""
        if each.regex is not None:
            message = f"the metric {each.metric!r} has a regex as well; keep the one by which it is found"
        elif each.metric in parts.metrics:
            message = f"the metric {each.metric!r} has a regex under metrics as well; take one of them away"
        elif field == "constraints" and each.metric in objectives:
            message = f"the metric {each.metric!r} stands under objective already: give its source there alone"
        elif not starts:
            message = (
                f"what the program logs by {library} is heard where cloudtune starts it: give trial a command or a "
                "function; of an image's own entrypoint a regex finds the metric in the output"
            )
        if message:
            problems.append(((field, index, "source"), message))
    return problems
