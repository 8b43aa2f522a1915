"""Convert jobs from and to YAML and plain data, and describe every mistake in them with its place.

The model of the job is an argument: `cloudtune.spec.job` loads this package when it is first needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from cloudtune.errors import Problem, SpecError
from cloudtune.spec.text.dumping import to_data, yaml_text
from cloudtune.spec.text.problems import find_problems

if TYPE_CHECKING:
    from cloudtune.spec.text.reading import Node

__all__ = ["from_data", "from_yaml", "to_data", "to_yaml"]

Job = TypeVar("Job", bound=BaseModel)


def from_yaml(model: type[Job], source: str | Path) -> Job:
    """Return the job of a YAML text (a str) or of a file in UTF-8 (a Path).

    YAML 1.2 with the core schema: ``1e-3`` is a number, ``no`` and ``on`` are texts.

    Raises:
        SpecError: the text is not YAML or not a job, or exceeds the bounds of `cloudtune.spec.text.reading`; lists
            every mistake with its line and column.
        OSError: the file cannot be read.
    """
    # A job from plain data needs no YAML, so it is loaded here.
    from cloudtune.spec.text.reading import read_file, read_yaml  # noqa: PLC0415

    name = str(source) if isinstance(source, Path) else "the job"
    node, problems = read_yaml(read_file(source) if isinstance(source, Path) else source, name)
    data = _environment_as_written(node)
    try:
        job = model.model_validate(data)
    except ValidationError as error:
        known = {_place(problem) for problem in problems}
        problems += [one for one in find_problems(error, model, data, node) if _place(one) not in known]
    else:
        if not problems:
            return job
    raise SpecError(sorted(problems, key=_place), name)


def _environment_as_written(node: "Node") -> Any:
    """Return the data of a job, with numbers of the trial's environment as they are written: 3.10 stays 3.10, not 3.1."""
    trial = node.children.get("trial")
    environment = trial.children.get("environment") if trial else None
    if trial is None or environment is None or not isinstance(environment.value, dict):
        return node.value
    texts = {
        key: child.text if type(child.value) in (int, float) else child.value
        for key, child in environment.children.items()
    }
    return {**node.value, "trial": {**trial.value, "environment": texts}}


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line or 0, problem.column or 0


def from_data(model: type[Job], data: Any, source: str = "the job") -> Job:
    """Return the job of plain data, as of parsed JSON.

    Args:
        model: of the job.
        data: a mapping of the job's fields.
        source: what the error calls the data.

    Raises:
        SpecError: lists every mistake with its path.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = find_problems(error, model, data)
    raise SpecError(problems, source)


def to_yaml(job: BaseModel) -> str:
    """Return the job as YAML without default values, that `from_yaml` reads as an equal job."""
    return yaml_text(to_data(job))
