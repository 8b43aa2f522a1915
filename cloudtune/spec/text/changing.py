"""Changes of single fields of a job that is written in YAML, by their paths such as ``limits.trials``."""

from typing import Any

from cloudtune.errors import SpecError
from cloudtune.spec.text.reading import read_yaml


def yaml_value(text: str, source: str) -> Any:  # plain data
    """Return the value of a YAML text.

    Args:
        text: the text.
        source: what it is, for messages.

    Raises:
        SpecError: it is no YAML.
    """
    node, problems = read_yaml(text, source)
    if problems:
        raise SpecError(problems, source)
    return node.value


def put(data: Any, place: str, value: object) -> None:  # plain data
    """Set a field in the data of a job, with the mappings that lead to it.

    Args:
        data: of the job.
        place: keys joined by dots.
        value: of the field.

    Raises:
        ValueError: a key leads to something that is no mapping.
    """
    *parents, last = place.split(".")
    for index, key in enumerate(parents):
        if not isinstance(data, dict):
            raise ValueError(f"{'.'.join(parents[:index])} is no mapping")  # noqa: TRY004  # of the value
        data = data.setdefault(key, {})
    if not isinstance(data, dict):
        raise ValueError(f"{'.'.join(parents)} is no mapping")  # noqa: TRY004
    data[last] = value
