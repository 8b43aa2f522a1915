"""The trial helper: the one file that travels with the user's code.

In a training script::

    import cloudtune.trial as trial

    p = trial.params()
    for epoch in range(10):
        trial.report(accuracy=train(p), step=epoch + 1)

It finds the parameters wherever the tuner put them and sends every metric where the tuner looks; without a tuner it
takes the parameters from the command line and prints the metrics, so that a script can be run by hand.

As a program it runs somebody's command or function as a trial::

    python trial.py -- python train.py --rate {lr}
    python trial.py --function package.module:name --metric accuracy

It needs the standard library alone, no other file of cloudtune, and Python 3.8 or newer.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Scalar = bool | int | float | str | None
    Sink = Callable[[int, float, dict[str, float]], None]


class Context:
    """What a trial knows of itself.

    Args:
        parameters: values by name, typed and decoded.
        number: of the trial, from 0.
        attempt: which start of the trial this is, from 1.
        run_id: of the run.
        sink: takes each report: step, seconds since 1970, metrics.
        folder: where the trial's own files are; the folders below it are made when they are asked for.
        checkpoint: the folder that outlives an attempt; None for ``checkpoint`` in `folder`.
        output: the folder of results; None for ``output`` in `folder`.
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
    ) -> None:
        self.parameters = dict(parameters)
        self.number = number
        self.attempt = attempt
        self.run_id = run_id
        self.sink = sink
        self.checkpoint = checkpoint or os.path.join(folder, "checkpoint")
        self.output = output or os.path.join(folder, "output")
        self.reports = 0


_context: Context | None = None


def enter(context: Context) -> None:
    """Makes a context the one that this module's functions speak of: one trial a process at a time."""
    global _context  # noqa: PLW0603  # a process is one trial
    _context = context


def leave() -> None:
    """Ends what `enter` began."""
    global _context  # noqa: PLW0603  # a process is one trial
    _context = None


def _current() -> Context:
    if _context is None:
        enter(_from_environment() if active() else _by_hand())
    assert _context is not None
    return _context


def active() -> bool:
    """Whether this process is (part of) a trial of a tuner that this file knows."""
    return _context is not None or "CLOUDTUNE_PARAMETERS" in os.environ


def params() -> dict[str, Scalar]:
    """The trial's parameters by name, each with its own type; those that do not exist in this trial are absent."""
    return dict(_current().parameters)


def number() -> int:
    """The trial's number, from 0."""
    return _current().number


def attempt() -> int:
    """Which start of the trial this is, from 1."""
    return _current().attempt


def run_id() -> str:
    """The id of the run; "" when the script was started by hand."""
    return _current().run_id


def checkpoint_dir() -> str:
    """A folder that a later attempt of this trial finds as this one left it."""
    os.makedirs(_current().checkpoint, exist_ok=True)
    return _current().checkpoint


def output_dir() -> str:
    """The folder for the trial's results."""
    os.makedirs(_current().output, exist_ok=True)
    return _current().output


def data(name: str) -> str:
    """Where an input of the job is.

    Raises:
        KeyError: the job has no input of this name.
    """
    variable = "CLOUDTUNE_DATA_" + re.sub(r"\W", "_", name).upper()
    if variable not in os.environ:
        raise KeyError(f"the job has no data named {name!r}; write data: {{{name}: PLACE}}")
    return os.environ[variable]


def report(values: Mapping[str, Any] | None = None, step: int | None = None, **metrics: Any) -> None:
    """Reports metrics, at the end or on the way.

    Args:
        values: metrics whose names are not identifiers.
        step: the epoch, fold or the like; None counts the reports: 1, 2, 3, …
        **metrics: numbers, or what ``float()`` takes for one.

    Of a distributed trial only the first process reports.

    Raises:
        TypeError: a value is not a number.
    """
    named = {**(values or {}), **metrics}
    numbers = {str(name): _number(name, value) for name, value in named.items()}
    context = _current()
    context.reports += 1
    if _rank() == 0:
        context.sink(context.reports if step is None else int(step), time.time(), numbers)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (str, bytes, complex)) and value is not None:
        try:
            return float(value)
        except (TypeError, ValueError):
            pass  # told below, with the metric's name
    raise TypeError(f"the metric {name!r} must be a number, not {type(value).__name__}")


def _rank() -> int:
    """Which of a distributed trial's processes this is."""
    for variable in ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


def _from_environment() -> Context:
    """The context that cloudtune's own driver gives by variables and files."""
    with open(os.environ["CLOUDTUNE_PARAMETERS"]) as file:
        given = json.load(file)
    folder = os.path.dirname(os.environ["CLOUDTUNE_PARAMETERS"])
    return Context(
        decode_parameters(given.get("codec"), given["parameters"]),
        number=int(os.environ.get("CLOUDTUNE_TRIAL", "0")),
        attempt=int(os.environ.get("CLOUDTUNE_ATTEMPT", "1")),
        run_id=os.environ.get("CLOUDTUNE_RUN", ""),
        sink=_file_sink(os.environ["CLOUDTUNE_REPORTS"]),
        folder=folder,
        checkpoint=os.environ.get("CLOUDTUNE_CHECKPOINT_DIR"),
        output=os.environ.get("CLOUDTUNE_OUTPUT_DIR"),
    )


def _file_sink(path: str) -> Sink:
    """Appends each report as a line of JSON, in one write, so that lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        line = json.dumps({"step": step, "time": moment, "metrics": metrics})
        os.write(descriptor, line.encode() + b"\n")

    return sink


def _by_hand() -> Context:
    """The context of a script that somebody started: parameters from the command line, metrics to the terminal."""

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:  # noqa: ARG001  # a terminal shows no time
        print(f"step {step}: " + " ".join(f"{name}={value!r}" for name, value in metrics.items()), flush=True)

    return Context(_command_line(sys.argv[1:]), sink=sink)


def _command_line(arguments: Sequence[str]) -> dict[str, Scalar]:
    """Options ``--name value`` and ``--name=value``, typed as JSON where they are JSON, else as text."""
    found: dict[str, Scalar] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            continue
        name, equals, text = word[2:].partition("=")
        if not equals and rest and not rest[0].startswith("--"):
            text = rest.pop(0)
        found[name] = _typed(text)
    return found


def _typed(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float, str, type(None))) else text


# Commands


def text_of(value: Scalar) -> str:
    """A parameter's value as a word of a command line: JSON's true, false and null; texts as they are."""
    return value if isinstance(value, str) else json.dumps(value)


def compile_command(
    command: str | Sequence[str], names: Sequence[str]
) -> Callable[[Mapping[str, Scalar]], list[str]]:
    """From a command to a function that puts a trial's parameters into it and gives the arguments to execute.

    A text is a line for the shell, and values in it are quoted; a list is a program and its arguments. ``{name}``
    is a parameter's place, if the space has that name: all other braces stay as they are. Parameters without a
    place follow as ``--name value``. Where a parameter does not exist in a trial, its place vanishes: with the
    whole word if that is ``{name}`` or ``--option={name}``, and with the word before it in ``--option {name}``.

    Args:
        command: the text or list.
        names: all names of the space.
    """
    if isinstance(command, str):
        return _compile_line(command, names)
    words = [_split(word, names) for word in command]
    placed = {part for parts in words for part in parts[1::2]}

    def arguments(parameters: Mapping[str, Scalar]) -> list[str]:
        result: list[str] = []
        for parts in words:
            if any(name not in parameters for name in parts[1::2]):
                if len(parts) == 3 and not parts[0] and result and _is_option(result[-1]):
                    result.pop()
                continue
            result.append("".join(text_of(parameters[part]) if i % 2 else part for i, part in enumerate(parts)))
        for name, value in parameters.items():
            if name not in placed:
                result += [f"--{name}", text_of(value)]
        return result

    return arguments


def _is_option(word: str) -> bool:
    return word.startswith("-") and "=" not in word


def _split(text: str, names: Sequence[str]) -> list[str]:
    """A text at its places: pieces of text at even indices, names at odd ones."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.split(r"(?<![${])\{(" + known + r")\}(?!\})", text) if names else [text]


def _compile_line(line: str, names: Sequence[str]) -> Callable[[Mapping[str, Scalar]], list[str]]:
    parts = _split(line, names)
    placed = set(parts[1::2])
    # What an absent parameter takes with it: the option before it, or the word that it ends.
    option = re.compile(r"(?:(?<=\s)|^)-[\w-]*[=\s]\s*$")

    def arguments(parameters: Mapping[str, Scalar]) -> list[str]:
        result = parts[0]
        for index in range(1, len(parts), 2):
            if parts[index] in parameters:
                result += shlex.quote(text_of(parameters[parts[index]]))
            else:
                result = option.sub("", result)
            result += parts[index + 1]
        for name, value in parameters.items():
            if name not in placed:
                result += f" --{name} {shlex.quote(text_of(value))}"
        return ["/bin/sh", "-c", _exec(result)]

    return arguments


# Words that begin a line which the shell itself must carry out.
_SHELL_WORDS = frozenset(
    ". : alias bg break case cd command continue do done elif else esac eval exec exit export fg fi for getopts hash if "
    "in jobs local read readonly return set shift source then time times trap type ulimit umask unalias unset until wait "
    "while".split()
)


def _exec(line: str) -> str:
    """Lets a simple command take the shell's place, so that signals reach it and not a shell that waits for it."""
    first = re.match(r"\s*([\w./-]+)(?=\s|$)", line)
    simple = first is not None and first.group(1) not in _SHELL_WORDS and not re.search(r"[;|&\n()`]", line)
    return "exec " + line if simple else line


# Functions


def load_function(place: str) -> Callable[..., object]:
    """The function at ``package.module:name``, also from the working folder.

    Raises:
        ImportError: there is no such module, or it has no such function.
    """
    import importlib

    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ImportError(f"the module {module!r} has no function {name!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ImportError(f"{place!r} is not a function")
    return found  # type: ignore[no-any-return]


def call_function(
    function: Callable[..., object], parameters: Mapping[str, Scalar], metric: str | None
) -> dict[str, float]:
    """Calls a trial's function with the parameters as keywords.

    Args:
        function: what to call.
        parameters: values by name.
        metric: the name for a bare number.

    Returns:
        The metrics: from a mapping, from a number, or none if it returned None (and reported itself).

    Raises:
        TypeError: it returned something else.
    """
    result = function(**parameters)
    if result is None:
        return {}
    if hasattr(result, "items"):
        return {str(name): _number(name, value) for name, value in result.items()}
    if metric is None:
        raise TypeError("the function must return a mapping of metrics, for its objective has no name here")
    try:
        return {metric: _number(metric, result)}
    except TypeError:
        kind = type(result).__name__
        raise TypeError(f"the function must return a number or a mapping of metrics, not {kind}") from None


# Codecs: how a service's value becomes the parameter's again


def decode_parameters(codec: Mapping[str, Any] | None, values: Mapping[str, Any]) -> dict[str, Scalar]:
    """The parameters of the spec from what a service sent, by the data that `cloudtune.codec` gave along."""
    if codec is None:
        return dict(values)
    raise NotImplementedError


# The program


def main(arguments: Sequence[str]) -> int:
    """Runs a command or a function as a trial; returns the exit code."""
    rest = list(arguments)
    if rest[:1] == ["--"] and len(rest) > 1:
        return _run_command(rest[1:])
    options = {rest[i]: rest[i + 1] for i in range(0, len(rest) - 1, 2)}
    if "--function" not in options or set(options) - {"--function", "--metric"}:
        print(__doc__, file=sys.stderr)
        return 2
    metrics = call_function(load_function(options["--function"]), params(), options.get("--metric"))
    if metrics:
        report(metrics)
    return 0


def _run_command(command: list[str]) -> int:
    import signal
    import subprocess

    parameters = params()
    process = subprocess.Popen(compile_command(command, list(parameters))(parameters))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    if code == -signal.SIGKILL:
        print("the command was killed (SIGKILL), most likely because memory ran out", file=sys.stderr)
    elif code < 0:
        print(f"the command was killed by {signal.Signals(-code).name}", file=sys.stderr)
    elif code:
        print(f"the command exited with code {code}", file=sys.stderr)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
