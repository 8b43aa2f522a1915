"""The format of Weights & Biases' sweep configurations (https://docs.wandb.ai/models/sweeps/sweep-config-keys)."""

import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cloudtune.errors import SpecError
from cloudtune.interop import legal_job_name, legal_names, note_of_name
from cloudtune.interop.documents import Document, Shape, path_text, read_document
from cloudtune.interop.formats import Format, Imported, Note
from cloudtune.interop.wandb_parameters import Parameters, json_words
from cloudtune.space.parameters import Categorical, Constant, Parameter
from cloudtune.spec.job import TuningJob

ENDLESS = 100
"""The number of trials for a sweep without a limit."""

_DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
_PROGRAM = "train.py"
_LOGS = re.compile(rb"wandb|transformers|lightning|accelerate|report_to|hydra", re.IGNORECASE)
"""What a program names that logs to Weights & Biases, itself or by a library that may do so without naming it."""
_MOST_FILES = 200
"""Most files of a program that are looked at."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Metric(Shape):
    """A metric to optimise."""

    name: Annotated[str, Field(min_length=1)]
    goal: Annotated[Literal["minimize", "maximize"], BeforeValidator(_lower)] = "minimize"
    target: float | None = None
    impute: str | None = None
    impute_while_running: str | bool | None = None


class EarlyTerminate(Shape):
    """The early stopping of a sweep."""

    type: Literal["hyperband"]
    min_iter: Annotated[int, Field(ge=1, le=2**53)] | None = None
    max_iter: Annotated[int, Field(ge=1, le=2**53)] | None = None
    s: Annotated[int, Field(ge=1)] | None = None
    eta: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 3
    strict: bool = True  # the default of sweeps/config/schema.json

    @model_validator(mode="after")
    def _has_bands(self) -> "EarlyTerminate":
        if self.min_iter is None and (self.max_iter is None or self.s is None):
            raise ValueError("hyperband needs min_iter, or max_iter and s")
        return self


class Sweep(Shape):
    """A sweep configuration."""

    method: Annotated[Literal["grid", "random", "bayes", "custom"], BeforeValidator(_lower)]
    parameters: dict[str, Any]
    program: str | None = None
    command: Annotated[list[Any], Field(min_length=1)] | None = None
    metric: Metric | None = None
    metrics: list[Metric] = []
    early_terminate: EarlyTerminate | None = None
    run_cap: Annotated[int, Field(ge=1)] | None = None
    name: str | None = None
    image_uri: str | None = None
    # Keys for Weights & Biases itself
    project: str | None = None
    entity: str | None = None
    description: str | None = None
    job: str | None = None
    scheduler: dict[str, Any] | None = None
    controller: dict[str, Any] | None = None
    api_version: Annotated[str | None, Field(alias="apiVersion")] = None
    kind: str | None = None


_LEFT_OUT = {
    "project": "says where Weights & Biases keeps the runs: left out",
    "entity": "says where Weights & Biases keeps the runs: left out",
    "description": "left out",
    "job": "is a launch job of Weights & Biases: say what runs, in trial",
    "scheduler": "is a search of your own: left out, and the strategy is Bayesian",
    "controller": "says who chooses the runs: cloudtune does",
}


class Wandb(Format):
    """The format Weights & Biases, a sweep configuration in a file."""

    name = "wandb"
    summary = "a sweep configuration of Weights & Biases, YAML"

    def read(self, source: str, *, study: str | None = None) -> Imported:  # noqa: ARG002  # a file has one sweep
        path = Path(source)
        return parse(read_document(source), path.parent if path.is_file() else None)

    def recognises(self, data: Mapping[str, object]) -> bool:
        return {"method", "parameters"} <= data.keys()


def parse(document: Document, folder: Path | None = None) -> Imported:
    """Return the job of a sweep configuration, with notes on what differs.

    Args:
        document: the sweep.
        folder: the folder that its program's path begins at; None where the program cannot be looked at.

    Raises:
        SpecError: it is not a valid sweep configuration; lists the mistakes with their places.
    """
    return _Reader(document, folder).imported()


class _Reader:
    """The conversion of one sweep."""

    def __init__(self, document: Document, folder: Path | None) -> None:
        if not isinstance(document.data, Mapping):
            raise document.error((), "is no mapping; give a sweep configuration")
        self._document, self._folder = document, folder
        self._sweep = document.check(Sweep, document.data)
        self._parameters = Parameters(document)
        self._parameters.read(self._sweep.parameters)
        if self._parameters.problems:
            raise SpecError(self._parameters.problems, document.source)
        self._names = legal_names(self._parameters.found)
        self._notes: list[Note] = []
        for name, ours in self._names.items():
            if name != ours:
                self._note(path_text(self._parameters.places[name]), note_of_name(ours))

    def _note(self, path: str, message: str) -> None:
        self._notes.append(Note(path, message))

    def imported(self) -> Imported:
        """Return the job with its notes."""
        sweep = self._sweep
        data = {
            "name": legal_job_name(sweep.name or sweep.project or "", "sweep"),
            "trial": self._trial(),
            "objective": self._objectives(),
            "space": {self._names[name]: parameter for name, parameter in self._parameters.found.items()},
            "strategy": {"type": {"grid": "grid", "random": "random"}.get(sweep.method, "bayesian")},
            "stopping": self._stopping(),
            "limits": self._limits(),
        }
        for key, message in _LEFT_OUT.items():
            if getattr(sweep, key) is not None:
                self._note(key, message)
        given = {name: value for name, value in data.items() if value is not None}
        job = TuningJob.from_data(given, f"the job made of {self._document.source}")
        return Imported(job, (*self._parameters.notes, *self._notes))

    def _objectives(self) -> Any:
        sweep = self._sweep
        metrics = sweep.metrics or ([] if sweep.metric is None else [sweep.metric])
        if not metrics:
            self._note("metric", "is missing: the objective is to minimize loss; say which it is")
            return {"metric": "loss", "goal": "minimize"}
        for metric in metrics:
            if metric.impute is not None or metric.impute_while_running not in (None, False, "false"):
                self._note("metric", "what a failed or running run counts for the strategy decides here")
        found = [{"metric": metric.name, "goal": metric.goal} for metric in metrics]
        if self._folder is not None and not _may_log(self._folder / (sweep.program or _PROGRAM)):
            message = "no file of the program names wandb: the metric is read from what it prints; one that calls wandb.log needs source: wandb"
            self._note("metric", message)
            return found
        self._note("metric", "is heard where the program calls wandb.log, without an account (source: wandb)")
        return [{**metric, "source": "wandb"} for metric in found]

    def _limits(self) -> dict[str, Any]:
        sweep = self._sweep
        found: dict[str, Any] = {"trials": sweep.run_cap}
        if sweep.run_cap is None and sweep.method != "grid":
            found["trials"] = ENDLESS
            self._note("run_cap", f"is missing, so that the sweep has no end: here it is {ENDLESS}")
        if sweep.metric is not None and not sweep.metrics:
            found["target"] = sweep.metric.target
        self._note("", "as many runs go at once as there are agents; here limits.parallel says how many")
        return {name: value for name, value in found.items() if value is not None}

    def _stopping(self) -> dict[str, Any] | None:
        """Return ASHA with hyperband's bands as rungs (sweeps/hyperband_stopping.py); None for no early stopping."""
        given = self._sweep.early_terminate
        if given is None:
            return None
        eta = max(2, round(given.eta))
        if eta != given.eta:
            self._note("early_terminate.eta", f"must be a whole number from 2 here: {eta}")
        if not given.strict:
            message = (
                "without strict, a run's best value so far is compared there; here, as with strict, that of the step"
            )
            self._note("early_terminate.strict", message)
        if given.min_iter is not None:
            return {"type": "asha", "min_resource": given.min_iter, "eta": eta}
        assert given.max_iter is not None
        assert given.s is not None
        bands = sorted(set(_bands(given.max_iter, given.eta, given.s)))
        if not bands:
            raise self._document.error(("early_terminate",), "has no band: make s or eta smaller, or max_iter larger")
        rungs = [bands[0] * eta**k for k in range(len(bands))]
        if rungs != bands:
            difference = f"{', '.join(map(str, bands))} are the bands there, {', '.join(map(str, rungs))} here"
            self._note("early_terminate", f"each band is eta times the one before: {difference}")
        return {"type": "asha", "min_resource": bands[0], "max_resource": given.max_iter, "eta": eta}

    # The command

    def _trial(self) -> dict[str, Any]:
        sweep = self._sweep
        command = [str(word) for word in sweep.command or _DEFAULT_COMMAND]
        if sweep.program is None and "${program}" in command:
            self._note("program", f"is missing: {_PROGRAM} stands in its place; say what runs")
        self._note("", "wandb.config is empty elsewhere: take parameters from the command or by cloudtune.trial.params")
        words = [each for index, word in enumerate(command) for each in self._words(word, index)]
        if f"${{{_FLAGS}}}" in command and self._flags:
            words = [*self._setting_flags(command.index(f"${{{_FLAGS}}}")), *words]
        if not any("${args" in word for word in command):
            self._note("command", "has no place for parameters; elsewhere they follow as --name value")
        found: dict[str, Any] = {"command": words}
        if sweep.image_uri is not None:
            found["image"] = sweep.image_uri
        return found

    def _words(self, word: str, index: int) -> Iterator[str]:
        """Yield the words of the command for a word of the sweep's; a macro must be a whole word (wandb_agent.py)."""
        macro = re.fullmatch(r"\$\{(\w+)\}", word)
        if "${envvar:" in word:
            self._note(
                f"command[{index}]", f"an agent puts the value of a variable in the place of {word}: write it out"
            )
        if macro is None:
            yield self._literal(word)
        elif macro[1] == "env":
            return
        elif macro[1] in ("interpreter", "program"):
            yield "python" if macro[1] == "interpreter" else self._literal(self._sweep.program or _PROGRAM)
        elif macro[1] in _ARGUMENTS:
            yield from self._arguments(_ARGUMENTS[macro[1]], macro[1], index)
        elif macro[1] == "args_json":
            yield self._json(index)
        else:
            message = "has no counterpart: use ${args_json}, or read cloudtune.trial.params() in the program"
            raise self._document.error(("command", index), f"{word} {message}")

    @property
    def _flags(self) -> dict[str, str]:
        """The parameters with only boolean values, and their names in the job."""
        booleans = {
            name
            for name, parameter in self._parameters.found.items()
            if (values := _values(parameter)) and all(isinstance(value, bool) for value in values)
        }
        return {name: ours for name, ours in self._names.items() if name in booleans}

    def _setting_flags(self, index: int) -> list[str]:
        """Return a command prefix, a shell script that appends an option for each parameter that is true."""
        for name, parameter in self._parameters.found.items():
            if name not in self._flags and any(isinstance(value, bool) for value in _values(parameter)):
                message = f"{name} is true or false and other values, too, of which a flag and an option would have to be made: write ${{args}}"  # fmt: skip
                raise self._document.error(("command", index), message)
        tests = [
            f'if [ "{{{ours}}}" = true ]; then set -- "$@" {shlex.quote(self._literal(f"--{name}"))}; fi'
            for name, ours in self._flags.items()
        ]
        return ["/bin/sh", "-c", "; ".join([*tests, 'exec "$@"']), "sh"]

    def _literal(self, word: str) -> str:
        """Return a word in which ``{name}`` is escaped as ``{{name}}``."""
        known = "|".join(re.escape(name) for name in self._names.values())
        return re.sub(rf"(?<!\$)\{{({known})\}}", r"{{\1}}", word)

    def _arguments(self, write: Callable[[str, str], list[str]], macro: str, index: int) -> Iterator[str]:
        path = f"command[{index}]"
        flags = self._flags if macro == _FLAGS else {}
        for name, ours in self._names.items():
            if name not in flags:
                yield from write(self._literal(name), f"{{{ours}}}")
        listed = [
            value
            for name, parameter in self._parameters.found.items()
            if name not in flags
            for value in _values(parameter)
        ]
        if any(isinstance(value, bool) for value in listed):
            self._note(path, "booleans stand there as True and False and here as true and false")
        if flags:
            self._note(
                path, f"booleans ({', '.join(flags)}) stand as --name alone, or not at all, which a shell does here"
            )
        if any(value is None for value in listed):
            self._note(path, "null stands there as None, and here as null")
        if any("." in name for name in self._parameters.found):
            self._note(path, "nested parameters stand there as one dict, and here each for itself: --outer.inner=value")

    def _json(self, index: int) -> str:
        words = json_words(self._parameters.found, self._names)
        if words is None:
            message = (
                "${args_json} cannot be written: a parameter has texts and other values, or texts with quotes in them"
            )
            raise self._document.error(("command", index), message)
        if any("." in name for name in self._parameters.found):
            self._note(f"command[{index}]", 'nested parameters are members "outer.inner" of the JSON here')
        return words


def _may_log(program: Path) -> bool:
    """Return whether a program may log to Weights & Biases, by the words in the Python files of its folder.

    Only a program in Python that can be read, with none of the libraries that log there, is said not to.
    """
    if program.suffix != ".py" or not program.is_file():
        return True
    files = list(itertools.islice(program.parent.rglob("*.py"), _MOST_FILES + 1))
    return len(files) > _MOST_FILES or any(_LOGS.search(_content(path)) for path in files)


def _content(path: Path) -> bytes:
    """Return the content of a file; that of one that cannot be read may be anything."""
    try:
        return path.read_bytes()
    except OSError:
        return b"wandb"


def _bands(last: int, eta: float, count: int) -> Iterator[int]:
    """Yield the steps at which runs are compared, the last one first."""
    band = last / eta
    while band >= 1 and count > 0:
        yield int(band)
        band, count = band / eta, count - 1


def _values(parameter: Parameter) -> tuple[Any, ...]:
    if isinstance(parameter, Categorical):
        return parameter.values
    return (parameter.value,) if isinstance(parameter, Constant) else ()


_FLAGS = "args_no_boolean_flags"
_ARGUMENTS: Mapping[str, Callable[[str, str], list[str]]] = {
    "args": lambda name, place: [f"--{name}={place}"],
    _FLAGS: lambda name, place: [f"--{name}={place}"],
    "args_no_equals": lambda name, place: [f"--{name}", place],
    "args_no_hyphens": lambda name, place: [f"{name}={place}"],
    "args_append_hydra": lambda name, place: [f"+{name}={place}"],
    "args_override_hydra": lambda name, place: [f"++{name}={place}"],
}
"""The words of a parameter for each macro, from its name and its placeholder (wandb/sdk/launch/sweeps/utils.py)."""
