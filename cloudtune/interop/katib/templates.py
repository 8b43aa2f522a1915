"""The template of Katib's trials: separation into the job's own fields and native settings, and merging of both.

A template is any object of Kubernetes. The program of a job is in the containers with the name of the primary one, in
any number of pods; everything else is native. So the job's fields are removed from a template at the import (`hollow`)
and merged into it at the export (`filled`), which gives the same template, by construction.
"""

import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cloudtune.interop.documents import Steps
from cloudtune.interop.katib.model import Container, Data, Resources
from cloudtune.planning.merge_patch import Merging
from cloudtune.spec.units import parse_size

MERGING = Merging(("reference", "name"))
"""The merging of native settings into an experiment: items of lists are matched by name."""

MARK = "\0"
"""The mark around a parameter's name that stands for its placeholder until the template's name for it is known."""

GPU = "nvidia.com/gpu"

_PLACE = re.compile(r"\$\{trialParameters\.(.+?)\}")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|[KMGT]i?)?")


def containers(value: Data, name: str) -> Iterator[dict[str, Data]]:
    """Return an iterator over the containers with a name anywhere in a template; for a TrainJob, its trainer."""
    return (container for _, container in placed_containers(value, name))


def placed_containers(value: Data, name: str, at: Steps = ()) -> Iterator[tuple[Steps, dict[str, Data]]]:
    """Yield the containers with a name anywhere in a template (for a TrainJob, its trainer), each with its path."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        here = (*at, key)
        if (key == "trainer" and isinstance(part, dict) and value.get("runtimeRef")) or (
            isinstance(part, dict) and at and at[-1] == "containers" and part.get("name") == name
        ):
            yield here, part
        else:
            yield from placed_containers(part, name, here)


def changed(value: Data, name: str, change: Callable[[dict[str, Data]], dict[str, Data]]) -> Data:
    """Return a copy of a template with the containers of a name replaced by `change`."""
    found = {id(each) for each in containers(value, name)}

    def walk(part: Data) -> Data:
        if id(part) in found:
            return change(part)
        if isinstance(part, Mapping):
            return {key: walk(inner) for key, inner in part.items()}
        return [walk(inner) for inner in part] if isinstance(part, list) else part

    return walk(value)


def filled(template: Data, name: str, members: Mapping[str, Data]) -> Data:
    """Return a hollow template with the job's members merged into its containers."""
    return changed(template, name, lambda container: MERGING.merge(_fitting(members, container), container))


def hollow(template: Data, name: str, members: Mapping[str, Data]) -> Data:
    """Return a template with the job's members removed from its containers, the inverse of `filled`."""

    def without(container: dict[str, Data]) -> dict[str, Data]:
        named = {"name": container["name"]} if "name" in container else {}
        rest: dict[str, Data] = MERGING.difference(_fitting(members, container), container)
        return {**named, **rest}

    return changed(template, name, without)


def _fitting(members: Mapping[str, Data], container: Mapping[str, Data]) -> Mapping[str, Data]:
    """Return the members for a container; the trainer of a TrainJob has no such resources."""
    return members if "name" in container else {key: part for key, part in members.items() if key != "resources"}


def resolved(value: Data, names: Mapping[str, str]) -> Data:
    """Return a template with its marks replaced by placeholders ``${trialParameters.NAME}``.

    Args:
        value: the template with marks.
        names: the template's names of parameters, if they differ from the parameters' own.
    """
    if isinstance(value, str):
        return re.sub(
            f"{MARK}(.+?){MARK}", lambda found: f"${{trialParameters.{names.get(found[1], found[1])}}}", value
        )
    if isinstance(value, Mapping):
        return {key: resolved(part, names) for key, part in value.items()}
    return [resolved(part, names) for part in value] if isinstance(value, list) else value


# Commands

_SHELL = re.compile(r"[;&|<>()$`*?\[\]~#!\n]|(?:^|\s)\w+=")
"""Characters that a shell interprets; a command line without them can be split into words."""

_HARMLESS = re.compile(r"[\w@%+=:,./-]+")
"""Texts that a shell does not change."""


def words_of(
    command: str | Sequence[str], names: Sequence[str], fixed: Mapping[str, str], texts: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the words of a container's command, with marks for parameters.

    Args:
        command: the job's command; a shell line is split into words if a shell would do only that.
        names: the names of all parameters, including constant ones.
        fixed: the texts of constant parameters.
        texts: the listed values of parameters, as texts.

    Raises:
        ValueError: a shell would interpret a value that Katib inserts into its line; names the parameter.
    """
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\$)\{{\{{(?P<literal>{known})\}}\}}|(?<!\$)(?<!\$\{{)\{{(?P<name>{known})\}}")
    placed: set[str] = set()

    def put(found: re.Match[str]) -> str:
        if found["literal"]:
            return f"{{{found['literal']}}}"
        placed.add(found["name"])
        return _mark_of(found["name"], fixed)

    by_shell = isinstance(command, str) and _SHELL.search(command) is not None
    parts = shlex.split(command) if isinstance(command, str) and not by_shell else command
    words = [pattern.sub(put, part) for part in ([parts] if isinstance(parts, str) else parts)]
    options = [f"--{name}={_mark_of(name, fixed)}" for name in names if name not in placed]
    if not by_shell:
        return [*words, *options]
    for name in names:
        for text in [*texts.get(name, ()), *([fixed[name]] if name in fixed else [])]:
            if not _HARMLESS.fullmatch(text):
                raise ValueError(
                    f"a shell would take {text!r}, a value of {name!r}, apart; write the command as a list"
                )
    return ["/bin/sh", "-c", " ".join([*words, *options])]


def _mark_of(name: str, fixed: Mapping[str, str]) -> str:
    return fixed.get(name, f"{MARK}{name}{MARK}")


def command_of(container: Container, references: Mapping[str, str], names: Sequence[str]) -> list[str] | None:
    """Return the job's command; None if the container has none.

    Args:
        container: the container of the template.
        references: the parameter of each name in the template.
        names: the names of all parameters; a literal ``{name}`` of the template is escaped as ``{{name}}``.
    """
    if not container.command:
        return None
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)"
    words = (*container.command, *container.args)
    literal = [re.sub(rf"(?<!\$)\{{({known})\}}", r"{{\1}}", word) for word in words]
    return [_PLACE.sub(lambda found: _neutral(found, references, names), word) for word in literal]


def _neutral(found: re.Match[str], references: Mapping[str, str], names: Sequence[str]) -> str:
    reference = references.get(found[1], "")
    return f"{{{reference}}}" if reference in names else found[0]


def places_in(value: Data) -> list[str]:
    """Return the trial parameters with placeholders in a part of a template."""
    if isinstance(value, str):
        return _PLACE.findall(value)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [name for part in parts for name in places_in(part)]


# Environment and resources


def environment_of(container: Container) -> dict[str, str]:
    """Return the environment variables with constant values."""
    known = {each.name: each.value for each in container.env}
    return {name: value for name, value in known.items() if value is not None and "$" not in value}


def compute_of(resources: Resources) -> dict[str, Any]:
    """Return ``compute`` of the spec for a container's resources."""
    known = {**resources.requests, **resources.limits}
    cpus, memory, disk = (_amount(known.get(name)) for name in ("cpu", "memory", "ephemeral-storage"))
    gpus = next((name for name in known if name.endswith(("/gpu", "/tpu"))), "")
    count = _amount(known.get(gpus)) or 0
    found = {
        "cpus": None if cpus is None else float(cpus),
        "memory": None if memory is None else int(memory),
        "disk": None if disk is None else int(disk),
        "accelerators": {"type": gpus, "count": int(count)} if count >= 1 else None,
    }
    return {name: value for name, value in found.items() if value}


def _amount(quantity: Data) -> Decimal | None:
    """Return a quantity of Kubernetes, in cores or bytes; None if it is missing or not a quantity."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        return None
    if found[2] == "m":
        return Decimal(found[1]) / 1000
    if not found[2]:
        return Decimal(found[1])
    return Decimal(found[1]) * parse_size(f"1{found[2]}B")


def cores(cpus: float) -> str:
    """Return a number of cores as Kubernetes writes it: ``2``, ``500m``."""
    thousandths = max(1, round(cpus * 1000))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def size(count: int) -> str:
    """Return a number of bytes as Kubernetes writes it: ``4Gi``, ``50G``."""
    units = {"Ti": 2**40, "T": 10**12, "Gi": 2**30, "G": 10**9, "Mi": 2**20, "M": 10**6, "Ki": 2**10, "k": 10**3}
    return next((f"{count // factor}{unit}" for unit, factor in units.items() if count % factor == 0), str(count))


def as_ours(ours: Data, theirs: Data) -> Data:
    """Return `theirs` with numbers spelled as in `ours` if they are equal, such as ``1024Mi`` and ``1Gi``."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return {key: as_ours(ours[key], part) if key in ours else part for key, part in theirs.items()}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [as_ours(one, other) for one, other in zip(ours, theirs, strict=True)]
    if isinstance(ours, bool) or isinstance(theirs, bool) or ours is None or theirs is None:
        return theirs
    return ours if _same_number(ours, theirs) else theirs


def _same_number(one: Data, other: Data) -> bool:
    if not isinstance(one, str | int | float) or not isinstance(other, str | int | float):
        return False
    if (first := _amount(one)) is not None and first == _amount(other):
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-10, abs_tol=0)
    except ValueError:
        return False
