"""The helper of a training script: parameters, inputs and folders of its trial, and reports of metrics.

In a training script::

    import cloudtune.trial as trial

    p = trial.params()
    for epoch in range(10):
        trial.report(accuracy=train(p), step=epoch + 1)

It reads the parameters from where the tuner put them and sends every metric to where the tuner reads it; without a
tuner it takes the parameters from the command line (``--name value``) and prints the metrics, so that a
script can be run by hand.

As a program it runs a command or a function as a trial::

    python -m cloudtune.trial -- python train.py --rate {lr}
    python -m cloudtune.trial --function package.module:name --metric accuracy

This package travels with the user's code to a service. It needs the standard library alone, nothing else of
cloudtune, and Python 3.8 or newer. A script loads this file alone, and `decode` where a tuner changed the parameters.
"""

# ruff: noqa: PTH103, PTH118, PTH120, PTH123  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .annotations import Scalar, Sink


class Context:
    """The trial that this process runs.

    Args:
        parameters: values by name, typed and decoded.
        number: of the trial, from 0.
        attempt: which start of the trial this is, from 1.
        run_id: of the run.
        sink: takes each report: step, seconds since 1970, metrics.
        folder: of the trial's own files.
        checkpoint: the folder that a later attempt of the trial gets; None for ``checkpoint`` in `folder`.
        output: the folder of results; None for ``output`` in `folder`.
        names: of all parameters of the space; None for those of `parameters`.
        seed: for its random numbers; None for its number.
    """

    def __init__(
        self,
        parameters: Mapping[str, Scalar],
        *,
        number: int = 0,
        attempt: int = 1,
        run_id: str = "",
        sink: Sink,
        folder: str = ".",
        checkpoint: str | None = None,
        output: str | None = None,
        names: Sequence[str] | None = None,
        seed: int | None = None,
    ) -> None:
        self.parameters = dict(parameters)
        self.number = number
        self.attempt = attempt
        self.run_id = run_id
        self.sink = sink
        self.checkpoint = checkpoint or os.path.join(folder, "checkpoint")
        self.output = output or os.path.join(folder, "output")
        self.names = tuple(parameters if names is None else names)
        self.seed = number if seed is None else seed
        self.reports = 0


class _Process:
    """The context of this process."""

    entered: Context | None = None  # by `enter`
    found: Context | None = None  # from the environment or the command line, at the first call


def enter(context: Context) -> None:
    """Make this module's functions use a context; a process runs one trial at a time."""
    _Process.entered = context


def leave() -> None:
    """End what `enter` began."""
    _Process.entered = None


def current() -> Context:
    """Return the context of this process: the entered one, else one from the environment or the command line."""
    if _Process.entered is not None:
        return _Process.entered
    if _Process.found is None:
        _Process.found = _from_environment() if active() else _by_hand()
    return _Process.found


def active() -> bool:
    """Return whether this process belongs to a trial of cloudtune; False for a script that was started by hand."""
    return _Process.entered is not None or "CLOUDTUNE_PARAMETERS" in os.environ


def params() -> dict[str, Scalar]:
    """Return the trial's parameters by name, each with its own type, without those that do not exist in this trial."""
    return dict(current().parameters)


def number() -> int:
    """Return the trial's number, from 0."""
    return current().number


def attempt() -> int:
    """Return which start of the trial this is, from 1."""
    return current().attempt


def seed() -> int:
    """Return the seed for this trial's random numbers, which no other trial of the run has; a repetition has one of its own.

    It is also CLOUDTUNE_SEED, and ``{seed}`` in a command, and the same at each attempt. A script that was started by hand has
    0, or what CLOUDTUNE_SEED says.
    """
    return current().seed


def run_id() -> str:
    """Return the id of the run; "" when the script was started by hand."""
    return current().run_id


def checkpoint_dir() -> str:
    """Return the folder of checkpoints, made if it is missing; a later attempt of this trial gets it as this one left it.

    Attempts follow one another where one failed or was lost, or its trial was paused. Write what the next one needs before
    each report, under another name first and then renamed; begin with what is there; and report ``step=``, so that the
    steps go on.
    """
    os.makedirs(current().checkpoint, exist_ok=True)
    return current().checkpoint


def output_dir() -> str:
    """Return the folder of the trial's results, made if it is missing."""
    os.makedirs(current().output, exist_ok=True)
    return current().output


def data(name: str) -> str:
    """Return the folder or file of an input of the job.

    Raises:
        LookupError: the job has no input of this name.
    """
    variable = data_variable(name)
    if variable not in os.environ:
        raise LookupError(f"the job has no data named {name!r}; name it in the job's data, or set {variable}")
    return os.environ[variable]


def data_variable(name: str) -> str:
    """Return the environment variable that names the path of an input, on every provider.

    It is ``CLOUDTUNE_DATA_`` and the name in capitals, with _ for all but letters and digits of ASCII. A plan refuses
    a job in which two inputs have the same one.
    """
    return "CLOUDTUNE_DATA_" + "".join(char if char.isascii() and char.isalnum() else "_" for char in name).upper()


def report(values: Mapping[str, Any] | None = None, /, step: int | None = None, **metrics: Any) -> None:
    """Report metrics, during the trial or at its end. In a distributed trial only the process of rank 0 reports.

    Args:
        values: metrics whose names are not identifiers.
        step: the epoch, fold or the like; None counts the reports: 1, 2, 3, …
        **metrics: numbers, or scalars of numpy, torch and others that ``float()`` converts.

    Raises:
        TypeError: a value is not a number, or the step is not a whole number.
    """
    if values is not None and not hasattr(values, "items"):
        raise TypeError(f"report takes NAME=NUMBER or a mapping of metrics, not {type(values).__name__}")
    named = {**(dict(values.items()) if values is not None else {}), **metrics}
    numbers = {str(name): checked_number(name, value) for name, value in named.items()}
    context = current()
    context.reports += 1
    reached = context.reports if step is None else checked_step(step)
    if _rank() == 0:
        context.sink(reached, time.time(), numbers)


def checked_number(name: object, value: Any) -> float:
    """Return a metric's value as a float.

    Raises:
        TypeError: it is not one number.
    """
    kind = getattr(getattr(value, "dtype", None), "kind", "")  # of numpy: it would drop an imaginary part
    if hasattr(value, "__float__") and not isinstance(value, str) and kind != "c":
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            shape = getattr(value, "shape", None)
            many = f" of shape {tuple(shape)}" if shape else ""
            kind = type(value).__name__
            raise TypeError(f"the metric {name!r} must be one number, not {kind}{many}") from None
    raise TypeError(f"the metric {name!r} must be a number, not {type(value).__name__}")


def checked_step(step: Any) -> int:
    """Return a step as an int.

    Raises:
        TypeError: it is not a whole number.
    """
    try:
        whole = int(step)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != step:
        raise TypeError(f"the step must be a whole number, not {step!r}")
    return whole


def _rank() -> int:
    """Return the rank of this process in a distributed trial, by the variables of its launcher; 0 without them."""
    for variable in ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "CLOUDTUNE_RANK"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


def _from_environment() -> Context:
    """Return the context that a driver of cloudtune describes by variables and files."""
    with open(os.environ["CLOUDTUNE_PARAMETERS"], encoding="utf-8") as file:
        given = json.load(file)
    codecs, reports = given.get("codecs"), os.environ.get("CLOUDTUNE_REPORTS")
    return Context(
        _decoded(codecs, given["parameters"]) if codecs else given["parameters"],
        number=int(os.environ.get("CLOUDTUNE_TRIAL", "0")),
        attempt=int(os.environ.get("CLOUDTUNE_ATTEMPT", "1")),
        run_id=os.environ.get("CLOUDTUNE_RUN", ""),
        sink=_file_sink(reports) if reports else _print,
        folder=os.path.dirname(os.environ["CLOUDTUNE_PARAMETERS"]),
        checkpoint=os.environ.get("CLOUDTUNE_CHECKPOINT_DIR"),
        output=os.environ.get("CLOUDTUNE_OUTPUT_DIR"),
        names=[dimension["name"] for dimension in codecs["dimensions"]] if codecs else None,
        seed=_given_seed(),
    )


def _given_seed() -> int | None:
    given = os.environ.get("CLOUDTUNE_SEED", "")
    return int(given) if given.isdigit() else None


def _decoded(codecs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Scalar]:
    from .decode import decode_parameters

    return decode_parameters(codecs, values)


def _file_sink(path: str) -> Sink:
    """Return a sink that appends each report as a line of JSON, in one write: lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        line = json.dumps({"step": step, "time": moment, "metrics": metrics})
        os.write(descriptor, line.encode() + b"\n")

    return sink


def _print(step: int, _moment: float, metrics: dict[str, float]) -> None:
    print(f"step {step}: " + " ".join(f"{name}={value!r}" for name, value in metrics.items()), flush=True)


def _by_hand() -> Context:
    """Return the context of a script that was started by hand, with its parameters from the command line."""
    return Context(_command_line(sys.argv[1:]), sink=_print, seed=_given_seed())


def _command_line(arguments: Sequence[str]) -> dict[str, Scalar]:
    """Return the options ``--name value`` and ``--name=value``, typed as JSON where they are JSON; a bare ``--name`` is true."""
    found: dict[str, Scalar] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and len(word) > 2:
            name, equals, text = word[2:].partition("=")
            if not equals and (not rest or rest[0].startswith("--")):
                text = "true"
            elif not equals:
                text = rest.pop(0)
            found[name] = _typed(text)
    return found


def _typed(text: str) -> Scalar:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float, str, type(None))) else text


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is a text here: parameters are finite")
