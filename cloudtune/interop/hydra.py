"""A sweep of Hydra as a tuning job: its overrides become the space, and each trial starts the application with values for them."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.errors import CloudtuneError
from cloudtune.interop import legal_job_name
from cloudtune.spec.job import TuningJob

_KNOWN_TAGS = ("log", "ordinal")
_OPTIONS = ("--config-path", "-cp", "--config-dir", "-cd", "--config-name", "-cn")
"""Options of an application that its trials need, too; each has a value."""

_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}


class SweepError(CloudtuneError, ValueError):
    """A sweep of Hydra that cannot be searched."""


def space_of(overrides: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the parameters of the overrides that are sweeps, as data of a job, by their keys.

    ``choice``, ``glob`` and lists give categorical parameters (ordinal ones with ``tag(ordinal, …)``), ``range`` whole or real
    numbers with a step, ``interval`` whole or real numbers, with ``tag(log, …)`` on a logarithmic scale.

    Args:
        overrides: of `hydra.core.override_parser`.

    Raises:
        SweepError: a key is swept twice, is one of Hydra's own, or has an unknown tag.
    """
    space: dict[str, dict[str, Any]] = {}
    for override in overrides:
        if not override.is_sweep_override():
            continue
        key = _name(override)
        if override.is_hydra_override():
            raise SweepError(f"{override.input_line}: settings of Hydra itself cannot be searched")
        if key in space:
            raise SweepError(
                f"{override.input_line}: {key} is swept twice; a sweep has one set of values for a key, and cannot depend on "
                "another key: describe such a space in a job of cloudtune, whose parameters have conditions (when)"
            )
        tags: set[str] = getattr(override.value(), "tags", set()) if not isinstance(override.value(), list) else set()
        unknown = sorted(set(tags) - set(_KNOWN_TAGS))
        if unknown:
            raise SweepError(
                f"{override.input_line}: the tag {unknown[0]!r} means nothing here; known are {', '.join(_KNOWN_TAGS)}"
            )
        space[key] = _parameter(override, tags)
    return space


def _name(override: Any) -> str:
    """Return the parameter's name: the key without what adds it, which is put before it in the command."""
    return str(override.get_key_element()).lstrip("+")


def _parameter(override: Any, tags: set[str]) -> dict[str, Any]:
    value = override.value()
    scale = {"scale": "log"} if "log" in tags else {}
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        return {"type": "int" if whole else "float", "low": value.start, "high": value.end, **scale}
    if override.is_range_sweep():
        numbers = sorted(float(each) for each in value.range())
        if not numbers:
            raise SweepError(f"{override.input_line}: the range is empty")
        if len(numbers) > 1:
            return _stepped(numbers, abs(float(value.step)), whole=isinstance(value.range(), range), scale=scale)
    values = [_typed(text) for text in override.sweep_string_iterator()]
    if scale:
        raise SweepError(f"{override.input_line}: the tag log is for interval and range; a choice has no scale")
    if not values:
        raise SweepError(f"{override.input_line}: there is nothing to choose from")
    if len(values) == 1:
        return {"type": "constant", "value": values[0]}
    return {"type": "ordinal" if "ordinal" in tags else "categorical", "values": values}


def _stepped(numbers: list[float], step: float, *, whole: bool, scale: Mapping[str, str]) -> dict[str, Any]:
    ends = [int(numbers[0]), int(numbers[-1])] if whole else [numbers[0], numbers[-1]]
    found = {"type": "int" if whole else "float", "low": ends[0], "high": ends[1], **scale}
    return found if whole and step == 1 else {**found, "step": int(step) if whole else step}


def _typed(text: str) -> bool | int | float | str | None:
    """Return the value that a text of Hydra's grammar stands for, where the same text stands for it in a command; else the text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if number == number and abs(number) != float("inf"):  # noqa: PLR0124  # nan
            return number
    return text


def job_of(settings: Mapping[str, Any], overrides: Sequence[Any], program: Sequence[str], name: str) -> TuningJob:
    """Return the job of a sweep.

    Args:
        settings: the sweeper's: ``n_trials``, ``parallel``, ``direction``, ``metric``, ``strategy``, ``seed``, ``job``.
        overrides: of the command line and of ``hydra.sweeper.params``.
        program: the words that start the application.
        name: of the application.

    Raises:
        SweepError: the sweep cannot be searched.
        SpecError: the job is not valid.
    """
    space = space_of(overrides)
    if not space:
        raise SweepError("nothing is swept: give an override such as lr=interval(0.001,0.1) or act=relu,gelu")
    metrics, directions = _listed(settings["metric"]), _listed(settings["direction"])
    if len(metrics) != len(directions):
        raise SweepError(f"hydra.sweeper: {len(metrics)} metrics have {len(directions)} directions; give each its own")
    strategy = settings["strategy"]
    strategy = {"type": strategy} if isinstance(strategy, str) else dict(strategy or {"type": "auto"})
    if settings["seed"] is not None:
        strategy["seed"] = settings["seed"]
    given = dict(settings["job"])
    limits = {"trials": settings["n_trials"], "parallel": settings["parallel"], **given.pop("limits", {})}
    trial = given.pop("trial", {})
    callback = {"_target_": "cloudtune.trial.callbacks.hydra.TuneCallback", "metrics": metrics}
    data = {
        "name": legal_job_name(name, "sweep"),
        "trial": {"command": [*program, *_arguments(overrides), "hydra.mode=RUN",
                              "hydra.run.dir=${oc.env:CLOUDTUNE_OUTPUT_DIR,.}", f"+hydra.callbacks.cloudtune={_quoted(callback)}"], **trial},
        "objective": [{"metric": metric, "goal": goal} for metric, goal in zip(metrics, directions, strict=True)],
        "space": space,
        "strategy": strategy,
        "limits": {key: value for key, value in limits.items() if value is not None},
        **given,
    }  # fmt: skip
    return TuningJob.from_data(data, "the sweep")


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _quoted(callback: Mapping[str, Any]) -> str:
    """Return a mapping in Hydra's grammar."""
    names = ",".join(json.dumps(name) for name in callback["metrics"])
    return f"{{_target_:{callback['_target_']},metrics:[{names}]}}"


def _arguments(overrides: Sequence[Any]) -> Iterator[str]:
    """Yield the overrides of a trial, with the places of parameters; braces of others are doubled where they would be places."""
    for override in overrides:
        if override.is_sweep_override():
            yield f"{override.get_key_element()}={{{_name(override)}}}"
        else:
            yield re.sub(r"(?<!\$)\{(\w[\w./@-]*)\}", r"{{\1}}", str(override.input_line))


def program_of(config: Any) -> list[str]:
    """Return the words that start the running application, with its options of configuration."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        words = ["python", "-m", spec.name.removesuffix(".__main__")]
    else:
        script = Path(getattr(main, "__file__", sys.argv[0])).resolve()
        here = Path(config.hydra.runtime.cwd)
        words = ["python", str(script.relative_to(here) if script.is_relative_to(here) else script)]
    given = sys.argv[1:]
    for index, word in enumerate(given):
        if word in _OPTIONS:
            words += given[index : index + 2]
        elif word.partition("=")[0] in _OPTIONS:
            words.append(word)
    return words
