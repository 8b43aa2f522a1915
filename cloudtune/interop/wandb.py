"""Sweep configurations of Weights & Biases (https://docs.wandb.ai/models/sweeps/sweep-config-keys), to jobs."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cloudtune.errors import SpecError
from cloudtune.interop import legal_job_name
from cloudtune.interop.documents import Document, Shape, read_document
from cloudtune.interop.formats import Format, Imported, Note
from cloudtune.interop.wandb_parameters import Parameters, json_words
from cloudtune.job import TuningJob
from cloudtune.parameters import Categorical, Constant, Parameter

ENDLESS = 100
"""Trials of a job whose sweep has no end of its own."""

_DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
_PROGRAM = "train.py"


class Metric(Shape):
    """A metric to be optimised."""

    name: Annotated[str, Field(min_length=1)]
    goal: Literal["minimize", "maximize"] = "minimize"
    target: float | None = None
    impute: str | None = None
    impute_while_running: str | bool | None = None


class EarlyTerminate(Shape):
    """Which runs are stopped early."""

    type: Literal["hyperband"]
    min_iter: Annotated[int, Field(ge=1)] | None = None
    max_iter: Annotated[int, Field(ge=1)] | None = None
    s: Annotated[int, Field(ge=1)] | None = None
    eta: Annotated[float, Field(gt=1)] = 3
    strict: bool = True  # the default of sweeps/config/schema.json

    @model_validator(mode="after")
    def _has_bands(self) -> "EarlyTerminate":
        if self.min_iter is None and (self.max_iter is None or self.s is None):
            raise ValueError("hyperband needs min_iter, or max_iter and s")
        return self


class Sweep(Shape):
    """A sweep configuration."""

    method: Literal["grid", "random", "bayes", "custom"]
    parameters: dict[str, Any]
    program: str | None = None
    command: Annotated[list[Any], Field(min_length=1)] | None = None
    metric: Metric | None = None
    metrics: list[Metric] = []
    early_terminate: EarlyTerminate | None = None
    run_cap: Annotated[int, Field(ge=1)] | None = None
    name: str | None = None
    image_uri: str | None = None
    # What is Weights & Biases' own
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
    """A sweep of Weights & Biases."""

    name = "wandb"
    summary = "a sweep configuration of Weights & Biases, YAML"

    def read(self, source: str, *, study: str | None = None) -> Imported:  # noqa: ARG002  # a file has one sweep
        return parse(read_document(source))


def parse(document: Document) -> Imported:
    """The job of a sweep configuration, and notes of what it means elsewhere.

    Raises:
        SpecError: it is no sweep configuration; lists the mistakes with their places.
    """
    return _Reader(document).imported()


class _Reader:
    """Reads one sweep."""

    def __init__(self, document: Document) -> None:
        if not isinstance(document.data, Mapping):
            raise document.error((), "is no mapping; give a sweep configuration")
        self._document = document
        self._sweep = document.check(Sweep, document.data)
        self._parameters = Parameters(document)
        self._parameters.read(self._sweep.parameters)
        if self._parameters.problems:
            raise SpecError(self._parameters.problems, document.source)
        self._notes: list[Note] = []

    def _note(self, path: str, message: str) -> None:
        self._notes.append(Note(path, message))

    def imported(self) -> Imported:
        """The whole."""
        sweep = self._sweep
        data = {
            "name": legal_job_name(sweep.name or sweep.project or "", "sweep"),
            "trial": self._trial(),
            "objective": self._objectives(),
            "space": self._parameters.found,
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
        names = " and ".join(f"{metric.name}=number" for metric in metrics)
        self._note("metric", f"wandb.log is not heard elsewhere: print {names}, or report by cloudtune.trial.report")
        return [{"metric": metric.name, "goal": metric.goal} for metric in metrics]

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
        """Bands at which the best 1/eta of the runs go on, as rungs (sweeps/hyperband_stopping.py)."""
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
            told = f"{', '.join(map(str, bands))} are the bands there, {', '.join(map(str, rungs))} here"
            self._note("early_terminate", f"each band is eta times the one before: {told}")
        return {"type": "asha", "min_resource": bands[0], "max_resource": given.max_iter, "eta": eta}

    # The command

    def _trial(self) -> dict[str, Any]:
        sweep = self._sweep
        command = [str(word) for word in sweep.command or _DEFAULT_COMMAND]
        if sweep.program is None and "${program}" in command:
            self._note("program", f"is missing: {_PROGRAM} stands in its place; say what runs")
        self._note("", "wandb.config is empty elsewhere: take parameters from the command or by cloudtune.trial.params")
        words = [each for index, word in enumerate(command) for each in self._words(word, index)]
        if not any("${args" in word for word in command):
            self._note("command", "has no place for parameters; elsewhere they follow as --name value")
        found: dict[str, Any] = {"command": words}
        if sweep.image_uri is not None:
            found["image"] = sweep.image_uri
        return found

    def _words(self, word: str, index: int) -> Iterator[str]:
        """The words of the command for one of the sweep's; only a whole word is a macro (wandb_agent.py)."""
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

    def _literal(self, word: str) -> str:
        """A word in which ``{name}`` means itself."""
        known = "|".join(re.escape(name) for name in self._parameters.found)
        return re.sub(rf"(?<!\$)\{{({known})\}}", r"{{\1}}", word)

    def _arguments(self, write: Callable[[str], list[str]], macro: str, index: int) -> Iterator[str]:
        path = f"command[{index}]"
        for name in self._parameters.found:
            yield from write(name)
        listed = [value for parameter in self._parameters.found.values() for value in _values(parameter)]
        if any(isinstance(value, bool) for value in listed):
            how = "--name alone, or not at all," if macro == "args_no_boolean_flags" else "True and False"
            self._note(path, f"booleans stand there as {how} and here as true and false")
        if any(value is None for value in listed):
            self._note(path, "null stands there as None, and here as null")
        if any("." in name for name in self._parameters.found):
            self._note(path, "nested parameters stand there as one dict, and here each for itself: --outer.inner=value")

    def _json(self, index: int) -> str:
        words = json_words(self._parameters.found)
        if words is None:
            message = (
                "${args_json} cannot be written: a parameter has texts and other values, or texts with quotes in them"
            )
            raise self._document.error(("command", index), message)
        if any("." in name for name in self._parameters.found):
            self._note(f"command[{index}]", 'nested parameters are members "outer.inner" of the JSON here')
        return words


def _bands(last: int, eta: float, count: int) -> Iterator[int]:
    """The steps at which runs are compared, from the last one backwards."""
    band = last / eta
    while band >= 1 and count > 0:
        yield int(band)
        band, count = band / eta, count - 1


def _values(parameter: Parameter) -> tuple[Any, ...]:
    if isinstance(parameter, Categorical):
        return parameter.values
    return (parameter.value,) if isinstance(parameter, Constant) else ()


_ARGUMENTS: Mapping[str, Callable[[str], list[str]]] = {
    "args": lambda name: [f"--{name}={{{name}}}"],
    "args_no_boolean_flags": lambda name: [f"--{name}={{{name}}}"],
    "args_no_equals": lambda name: [f"--{name}", f"{{{name}}}"],
    "args_no_hyphens": lambda name: [f"{name}={{{name}}}"],
    "args_append_hydra": lambda name: [f"+{name}={{{name}}}"],
    "args_override_hydra": lambda name: [f"++{name}={{{name}}}"],
}
"""How each macro writes a parameter (wandb/sdk/launch/sweeps/utils.py)."""
