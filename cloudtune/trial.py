"""The trial helper: the one file that travels with the user's code.

In a training script::

    import cloudtune.trial as trial

    p = trial.params()
    for epoch in range(10):
        trial.report(accuracy=train(p), step=epoch + 1)

It finds the parameters wherever the tuner put them and sends every metric where the tuner looks; without a
tuner it takes the parameters from the command line (``--name value``) and prints the metrics, so that a
script can be run by hand.

As a program it runs somebody's command or function as a trial::

    python trial.py -- python train.py --rate {lr}
    python trial.py --function package.module:name --metric accuracy

Where a file ``cloudtune_job.json`` lies beside it, it runs what that file says, whatever its arguments are: so a
trial starts in a container of a service.

It needs the standard library alone, no other file of cloudtune, and Python 3.8 or newer.
"""

# ruff: noqa: PTH100, PTH102, PTH103, PTH109, PTH110, PTH113, PTH118, PTH120, PTH123, PTH202  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import math
import os
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Scalar = bool | int | float | str | None
    Sink = Callable[[int, float, dict[str, float]], None]
    Place = Callable[[Mapping[str, Scalar]], list[str]]
    Listen = Callable[[bytes], None]


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
        names: of all parameters of the space; None for those of `parameters`.
    """

    def __init__(  # each is a fact of its own
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
    ) -> None:
        self.parameters = dict(parameters)
        self.number = number
        self.attempt = attempt
        self.run_id = run_id
        self.sink = sink
        self.checkpoint = checkpoint or os.path.join(folder, "checkpoint")
        self.output = output or os.path.join(folder, "output")
        self.names = tuple(parameters if names is None else names)
        self.reports = 0


class _Process:
    """Which trial this process is."""

    entered: Context | None = None  # by `enter`
    found: Context | None = None  # by the environment or the command line, when it was first asked for


def enter(context: Context) -> None:
    """Makes a context the one that this module's functions speak of: one trial a process at a time."""
    _Process.entered = context


def leave() -> None:
    """Ends what `enter` began."""
    _Process.entered = None


def _current() -> Context:
    if _Process.entered is not None:
        return _Process.entered
    if _Process.found is None:
        _Process.found = _from_environment() if active() else _by_hand()
    return _Process.found


def active() -> bool:
    """Whether this process is (part of) a trial of cloudtune; False for a script that was started by hand."""
    return _Process.entered is not None or "CLOUDTUNE_PARAMETERS" in os.environ


def params() -> dict[str, Scalar]:
    """The trial's parameters by name, each with its own type, without those that do not exist in this trial."""
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
        LookupError: the job has no input of this name.
    """
    variable = data_variable(name)
    if variable not in os.environ:
        raise LookupError(f"the job has no data named {name!r}; name it in the job's data, or set {variable}")
    return os.environ[variable]


def data_variable(name: str) -> str:
    """The environment variable that says where an input is."""
    return "CLOUDTUNE_DATA_" + "".join(char if char.isascii() and char.isalnum() else "_" for char in name).upper()


def report(values: Mapping[str, Any] | None = None, /, step: int | None = None, **metrics: Any) -> None:
    """Reports metrics, at the end or on the way.

    Args:
        values: metrics whose names are not identifiers.
        step: the epoch, fold or the like; None counts the reports: 1, 2, 3, …
        **metrics: numbers, or what ``float()`` takes for one: scalars of numpy, torch and others.

    Of a distributed trial only the first process reports.

    Raises:
        TypeError: a value is not a number, or the step is not a whole number.
    """
    if values is not None and not hasattr(values, "items"):
        raise TypeError(f"report takes NAME=NUMBER or a mapping of metrics, not {type(values).__name__}")
    named = {**(dict(values.items()) if values is not None else {}), **metrics}
    numbers = {str(name): _number(name, value) for name, value in named.items()}
    context = _current()
    context.reports += 1
    reached = context.reports if step is None else _whole(step)
    if _rank() == 0:
        context.sink(reached, time.time(), numbers)


def _number(name: str, value: Any) -> float:
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


def _whole(step: Any) -> int:
    try:
        whole = int(step)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != step:
        raise TypeError(f"the step must be a whole number, not {step!r}")
    return whole


def _rank() -> int:
    """Which of a distributed trial's processes this is."""
    for variable in ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "CLOUDTUNE_RANK"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


def _from_environment() -> Context:
    """The context that cloudtune's own driver gives by variables and files."""
    with open(os.environ["CLOUDTUNE_PARAMETERS"], encoding="utf-8") as file:
        given = json.load(file)
    codecs, reports = given.get("codecs"), os.environ.get("CLOUDTUNE_REPORTS")
    return Context(
        decode_parameters(codecs, given["parameters"]) if codecs else given["parameters"],
        number=int(os.environ.get("CLOUDTUNE_TRIAL", "0")),
        attempt=int(os.environ.get("CLOUDTUNE_ATTEMPT", "1")),
        run_id=os.environ.get("CLOUDTUNE_RUN", ""),
        sink=_file_sink(reports) if reports else _print,
        folder=os.path.dirname(os.environ["CLOUDTUNE_PARAMETERS"]),
        checkpoint=os.environ.get("CLOUDTUNE_CHECKPOINT_DIR"),
        output=os.environ.get("CLOUDTUNE_OUTPUT_DIR"),
        names=[dimension["name"] for dimension in codecs["dimensions"]] if codecs else None,
    )


def _file_sink(path: str) -> Sink:
    """Appends each report as a line of JSON, in one write, so that lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        line = json.dumps({"step": step, "time": moment, "metrics": metrics})
        os.write(descriptor, line.encode() + b"\n")

    return sink


def _print(step: int, _moment: float, metrics: dict[str, float]) -> None:
    print(f"step {step}: " + " ".join(f"{name}={value!r}" for name, value in metrics.items()), flush=True)


def _by_hand() -> Context:
    """The context of a script that somebody started: it has its parameters from the command line."""
    return Context(_command_line(sys.argv[1:]), sink=_print)


def _command_line(arguments: Sequence[str]) -> dict[str, Scalar]:
    """Options ``--name value`` and ``--name=value``, typed as JSON where they are JSON; a bare ``--name`` is true."""
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
    raise ValueError(f"{text} is a text here: no parameter is without bound")


# Commands


def text_of(value: Scalar) -> str:
    """A parameter's value as a word of a command line: JSON's true, false and null; texts as they are."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def place(command: str | Sequence[str], parameters: Mapping[str, Scalar], names: Sequence[str]) -> list[str]:
    """The arguments to execute for a command and a trial's parameters; see `compile_command`."""
    return compile_command(command, names)(parameters)


def compile_command(command: str | Sequence[str], names: Sequence[str]) -> Place:
    """From a command to a function that puts a trial's parameters into it and gives the arguments to execute.

    A text is a line for the shell, and values in it are quoted as their place needs it, also between quotes; a
    list is a program and its arguments. ``{name}`` is a parameter's place if the space has that name, and
    ``{{name}}`` means the text ``{name}``; all other braces stay as they are, ``${name}`` too. Parameters without
    a place follow as ``--name value``, or ``--name=value`` where the value could be taken for an option itself.

    Where a parameter does not exist in a trial, its place is empty. A word that is ``{name}`` or
    ``--option={name}`` vanishes then, and so does ``--option {name}``.

    Args:
        command: the text or list.
        names: all names of the space.
    """
    return _compile_line(command, names) if isinstance(command, str) else _compile_words(command, names)


_HOLE = "\0"  # stands for a place in a command, which cannot hold this character


def _holes(text: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """A text with a hole for each place, and the names of the places in their order."""
    if not names:
        return text, []
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    places: list[str] = []

    def hole(match: re.Match[str]) -> str:
        if match.group("literal"):
            return "{" + match.group("literal") + "}"
        places.append(match.group("name"))
        return _HOLE

    pattern = rf"(?<!\$)\{{\{{(?P<literal>{known})\}}\}}|(?<!\$)(?<!\$\{{)\{{(?P<name>{known})\}}"
    return re.sub(pattern, hole, text), places


_GOES_WHOLE = re.compile(r"""["']?(?:[^\0=]+=["']?)?\0["']*\Z""")
"""A word that means nothing without what fills its hole."""


def _is_option(word: str) -> bool:
    return word.lstrip("-")[:1] not in ("", word[:1]) and "=" not in word and _HOLE not in word


def _compile_words(command: Sequence[str], names: Sequence[str]) -> Place:
    words = [(template.split(_HOLE), places) for template, places in (_holes(word, names) for word in command)]
    placed = {name for _, places in words for name in places}

    def arguments(parameters: Mapping[str, Scalar]) -> list[str]:
        result: list[str] = []
        for index, (pieces, places) in enumerate(words):
            if len(places) == 1 and places[0] not in parameters and _GOES_WHOLE.match(_HOLE.join(pieces)):
                if pieces == ["", ""] and index and _is_option(_HOLE.join(words[index - 1][0])):
                    result.pop()
                continue
            word = pieces[0]
            for name, piece in zip(places, pieces[1:]):  # noqa: B905  # not in Python 3.8
                word += (text_of(parameters[name]) if name in parameters else "") + piece
            result.append(word)
        for name, value in parameters.items():
            if name not in placed:
                result += _option(name, value)
        return result

    return arguments


def _option(name: str, value: Scalar) -> list[str]:
    """A parameter as an option; argparse takes only plain negative numbers for a value of their own."""
    text = text_of(value)
    if text.startswith("-") and not re.match(r"-\d*\.?\d+\Z", text):
        return [f"--{name}={text}"]
    return ["--" + name, text]


_WORD = re.compile(r"""(?:[^\s'"\\;|&<>()]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


def _compile_line(line: str, names: Sequence[str]) -> Place:
    import shlex

    template, places = _holes(re.sub(r"(?:\\\n|\s)+\Z", "", line), names)
    quotings = _quotings(template)
    spans = _spans(template)
    start = "exec " if _is_simple(template) else ""
    placed = set(places)
    filled: dict[tuple[int, ...], list[str]] = {}  # by the holes that stay empty: what is between the others

    def arguments(parameters: Mapping[str, Scalar]) -> list[str]:
        absent = tuple(index for index, name in enumerate(places) if name not in parameters)
        if absent not in filled:
            filled[absent] = _without(template, [spans[index] for index in absent]).split(_HOLE)
        pieces = iter(filled[absent])
        result = start + next(pieces)
        for index, name in enumerate(places):
            if name in parameters:
                result += quotings[index](text_of(parameters[name])) + next(pieces)
        for name, value in parameters.items():
            if name not in placed:
                result += "".join(" " + shlex.quote(word) for word in _option(name, value))
        return ["/bin/sh", "-c", result]

    return arguments


def _quotings(template: str) -> list[Callable[[str], str]]:
    """How the shell must be told a value, for each hole: in double quotes, in single ones, or in none."""
    import shlex

    quotings: dict[int, Callable[[str], str]] = {match.start(): shlex.quote for match in re.finditer(_HOLE, template)}
    for quoted in _QUOTED.finditer(template):
        for at in range(quoted.start(), quoted.end()):
            if at in quotings and quoted.group()[0] in "'\"":
                quotings[at] = _in_double_quotes if quoted.group()[0] == '"' else _in_single_quotes
    return [quotings[at] for at in sorted(quotings)]


def _in_double_quotes(text: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _in_single_quotes(text: str) -> str:
    return text.replace("'", "'\"'\"'")


def _spans(template: str) -> list[tuple[int, int]]:
    """For each hole: from where to where the line vanishes with it."""
    words = list(_WORD.finditer(template))
    spans = []
    for hole in re.finditer(_HOLE, template):
        span = hole.span()
        for before, word in zip([None, *words], words):  # noqa: B905  # not in Python 3.8
            if word.start() <= hole.start() < word.end() and _GOES_WHOLE.match(word.group()):
                pair = before is not None and "=" not in word.group() and _is_option(before.group())
                first = before if before is not None and pair and _blank(template, before, word) else word
                rest = template[word.end() :]
                span = first.start(), len(template) - len(rest.lstrip(" \t"))
        spans.append(span)
    return spans


def _blank(template: str, before: re.Match[str], word: re.Match[str]) -> bool:
    """Whether nothing but blanks is between two words, so that they are of one command."""
    return not template[before.end() : word.start()].strip(" \t")


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


# What the shell itself must carry out, or carries out better than a program of that name.
_SHELL_WORDS = frozenset(
    ". : alias bg break case cd command continue do done echo elif else esac eval exec exit export false fg fi "  # noqa: SIM905  # a list would be 50 lines
    "for getopts hash if in jobs kill local printf pwd read readonly return set shift source test then time "
    "times trap true type ulimit umask unalias unset until wait while".split()
)


def _is_simple(line: str) -> bool:
    """Whether a program may take the shell's place, so that signals reach it and not a shell that waits for it."""
    first = re.match(r"\s*([\w./-]+)(?=\s|$)", line)
    return first is not None and first.group(1) not in _SHELL_WORDS and not re.search(r"[;|&\n()`]", line)


# Functions


def load_function(place: str) -> Callable[..., object]:
    """The function at ``package.module:name``, also from the working folder.

    Raises:
        ImportError: there is no such module, or it has no such function.
    """
    import importlib

    module, _, name = place.partition(":")
    if not module or not name:
        raise ImportError(f"{place!r} names no function; write package.module:name")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise  # the module is there, and lacks something itself
        raise ImportError(f"there is no module {error.name!r} in the working folder or Python's path") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise ImportError(f"the module {module!r} has no function {name!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ImportError(f"{place!r} is not a function but {type(found).__name__}")  # noqa: TRY004  # as above
    return found  # type: ignore[no-any-return]


def call_function(
    function: Callable[..., object], parameters: Mapping[str, Scalar], metric: str | None = None
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
    result: Any = function(**parameters)
    if result is None:
        return {}
    if hasattr(result, "items"):
        return {str(name): _number(name, value) for name, value in result.items()}
    if not hasattr(result, "__float__") or isinstance(result, str):
        kind = type(result).__name__
        raise TypeError(f"the function must return a number, a mapping of metrics or None, not {kind}")
    if metric is None:
        raise TypeError("the function returned a number without a name; return {METRIC: NUMBER}")
    return {metric: _number(metric, result)}


# Codecs: from what a tuner sent to the parameters of the spec


def decode_parameters(codecs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Scalar]:
    """The parameters of a trial from the values that a tuner sent.

    Args:
        codecs: what `cloudtune.space.codecs.SpaceCodec.to_data` gave.
        values: by the tuner's names; those that the space does not know are left alone.

    Raises:
        ValueError: a value is missing, or is none that the tuner was told.
    """
    result: dict[str, Scalar] = {}
    for dimension in codecs["dimensions"]:
        name = dimension["name"]
        if not _exists(dimension.get("when", {}), result):
            continue
        if dimension["sent_as"] not in values:
            raise ValueError(f"the tuner sent no value for the parameter {name!r}")
        value = values[dimension["sent_as"]]
        try:
            for codec in reversed(dimension["codecs"]):
                value = decode(codec, value)
        except ValueError as error:
            raise ValueError(f"the tuner sent an impossible value for {name!r}: {error}") from None
        result[name] = value
    return result


def _exists(conditions: Mapping[str, Sequence[Scalar]], decided: Mapping[str, Scalar]) -> bool:
    """Whether a parameter exists in a trial whose parents have these values."""
    return all(
        parent in decided and any(_same(decided[parent], one) for one in allowed)
        for parent, allowed in conditions.items()
    )


def _same(left: Scalar, right: Scalar) -> bool:
    """Equality of the spec's values: 1 equals 1.0, but neither equals true."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def decode(codec: Mapping[str, Any], value: Any) -> Scalar:
    """A parameter's value from what a tuner made of it: a number may come back as a double or as a text.

    Args:
        codec: what a codec's ``to_data`` gave.
        value: what the tuner sent.

    Raises:
        ValueError: it is nothing that the codec encodes to.
    """
    return _DECODERS[codec["kind"]](codec, value)


def _decode_step(codec: Mapping[str, Any], value: Any) -> Scalar:
    index = _index(value, codec["size"])
    if codec["whole"]:
        return int(codec["low"]) + index * int(codec["step"])
    return _exact(codec["low"], index, codec["step"])


def _exact(low: float, index: int, step: float) -> float:
    """low + index · step without the dust of binary fractions."""
    from decimal import Decimal

    return float(Decimal(repr(low)) + index * Decimal(repr(step)))


def _index(value: Any, size: int) -> int:
    index = round(_double(value))
    if not 0 <= index < size:
        raise ValueError(f"{value!r} is not between 0 and {size - 1}")
    return index


def _double(value: Any) -> float:
    """A number from a double, an integer or a text."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _decode_exponent(codec: Mapping[str, Any], value: Any) -> Scalar:
    point = _double(value)
    if point <= codec["bottom"] or point >= codec["top"]:
        return float(codec["low"] if point <= codec["bottom"] else codec["high"])
    return _rounded(codec, math.exp(point) if codec["kind"] == "log" else -math.expm1(-point))


def _decode_bell(codec: Mapping[str, Any], value: Any) -> Scalar:
    from statistics import NormalDist

    mass = min(max(_double(value), codec["bottom"]), codec["top"])
    point = codec["mean"] + codec["std"] * NormalDist().inv_cdf(mass)
    number = math.exp(point) if codec["log"] else point
    if codec["step"] is not None:
        first, last = codec["first"], codec["first"] + codec["size"] - 1
        return _exact(0.0, min(max(round(number / codec["step"]), first), last), codec["step"])
    if mass in (codec["bottom"], codec["top"]):
        return float(codec["low"] if mass == codec["bottom"] else codec["high"])
    return _rounded(codec, number)


def _rounded(codec: Mapping[str, Any], value: float) -> float:
    """A value with the digits that survive its codec; `cloudtune.space.axes.Rounding` rounds in the same way."""
    low, high, digits, relative = codec["low"], codec["high"], codec["digits"], codec["relative"]
    rounded = float(f"{value:.{digits - 1}e}") if relative else round(value, digits)
    unit = 10.0 ** (1 - digits if relative else -digits)
    if rounded - low < unit * (low if relative else 1.0):
        return float(low)
    if high - rounded < unit * (high if relative else 1.0):
        return float(high)
    return rounded


def _decode_index(codec: Mapping[str, Any], value: Any) -> Scalar:
    found: Scalar = codec["values"][_index(value, len(codec["values"]))]
    return found


def _decode_text(codec: Mapping[str, Any], value: Any) -> Scalar:
    known: Scalar
    for known in codec["values"]:
        if value == json_text(known):
            return known
        if not isinstance(value, str) and not isinstance(known, str) and _same(value, known):
            return known  # on its way somebody took the text of a number for the number
    raise ValueError(f"{value!r} is none of the texts that were sent")


def json_text(value: Scalar) -> str:
    """A value as JSON, which tells the text "1" from the number 1."""
    return json.dumps(value, ensure_ascii=False)


def _decode_number(codec: Mapping[str, Any], value: Any) -> Scalar:
    number = _double(value)
    if codec["values"] is None:
        return round(number) if codec["whole"] else number
    nearest: int | float = min(codec["values"], key=lambda known: abs(known - number))
    if not math.isclose(nearest, number, rel_tol=1e-9):
        raise ValueError(f"{value!r} is none of the numbers that were sent")
    return nearest


_DECODERS = {
    "step": _decode_step,
    "log": _decode_exponent,
    "reverse_log": _decode_exponent,
    "bell": _decode_bell,
    "index": _decode_index,
    "text": _decode_text,
    "number": _decode_number,
}


# Metrics in what a trial prints
#
# One grammar for all places: what is read here is what the regex of `metric_regex` reads on a service.

LONGEST_LINE = 1 << 16
"""Characters of a line that are searched for metrics; what follows them is not."""

SEARCH_TIME = 0.1
"""Seconds of the processor that the search of one line for one regex may take; at most twice as many."""

_ANSWER_TIME = 20.0  # seconds for an answer of the searching process, which keeps `SEARCH_TIME` itself
_LINES_TIME = 2.0  # seconds of the processor that the search of many lines for one regex may take
_SLOW_LINES = 3  # after so many a regex is given up: a second or so of a trial's time
_STEP = re.compile(r"step (\d+): ")  # how a report begins that is printed

# Colours and other escape codes; the logs of SageMaker have #033 for ESC, #015 for CR and #011 for a tab.
_ESCAPE = r"(?:\x1b|#033)(?:\[[0-9;:?]*[A-Za-z]|\(B)"
_NUMBER = (
    r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)"
)
_AFTER = r"""(?:$|[\s\x07\x08\x1b)\]}>|;─-╿]|[,"'](?:$|[^0-9.+-])|[.:!?](?:$|[\s\x1b"')\]}])|#0[0-3][0-7])"""


def metric_regex(name: str, *, any_case: bool = True) -> str:
    """The regex that finds ``name=number`` or ``name: number`` in a line; the last one, where there are several.

    The name may have quotes and any case, and escape codes of terminals may be between all parts. It is not the end
    of a longer name: ``loss`` is neither found in ``val_loss=1`` nor in ``train/loss=1``. The number is followed by
    the end, white space or punctuation: one that cannot be read whole, such as 12.75ms, 1,234.5 or 93%, is not read.

    The regex needs no more than regex engines have in common, matches a line at most once, and takes time in
    proportion to the line's length.

    Args:
        name: of the metric.
        any_case: whether capitals and small letters mean the same.
    """
    gap = rf"""(?:[ \t"']|{_ESCAPE})*"""
    before = rf"^(?:[\s\S]*(?:[^A-Za-z0-9_./\\À-ӿ-]|{_ESCAPE}|#01[15]))?"
    spelt = "".join(_letter(char) if any_case else _plain(char) for char in name)
    return f"{before}{spelt}{gap}[=:]{gap}({_NUMBER}){_AFTER}"


def _letter(char: str) -> str:
    cases = sorted({char, char.lower(), char.upper()})
    return f"[{''.join(cases)}]" if len(cases) > 1 and all(len(case) == 1 for case in cases) else _plain(char)


def _plain(char: str) -> str:
    return char if char.isalnum() or char in "_ /:-" else "\\" + char


def parts_of(line: str) -> list[str]:
    """What a line of output is for the search: its parts between carriage returns, as a progress bar writes them.

    Of a part that is too long the beginning is searched; the character that ends it there keeps a number that was
    cut from being read.
    """
    parts = line.split("\r") if "\r" in line else [line]
    return [part if len(part) <= LONGEST_LINE else part[:LONGEST_LINE] + "\0" for part in parts if part]


class LineSplitter:
    """Makes lines of a stream of bytes, in bounded memory: what exceeds `LONGEST_LINE` by far is left out.

    Attributes:
        open: whether a line has begun that has not ended.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False

    @property
    def open(self) -> bool:
        return bool(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in the next piece, without their ends: line feeds and carriage returns."""
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        if lines:
            lines[0] = self._rest if self._too_long else self._rest + lines[0]
            self._rest, self._too_long = b"", False
        if not self._too_long:
            self._rest += rest
            self._too_long = len(self._rest) > 4 * LONGEST_LINE  # no character has more bytes than four
        return [line for line in lines if line]

    def finish(self) -> list[bytes]:
        """The line that was never ended, if there is one."""
        line, self._rest, self._too_long = self._rest, b"", False
        return [line] if line else []

    def skip(self) -> None:
        """Forgets the line that has begun, and what is still to come of it."""
        self._rest, self._too_long = b"", True


class PrintedMetrics:
    """The metrics in the lines of one trial, as they come.

    Args:
        patterns: by the metrics' names, a regex whose first group is the number; None for `metric_regex`.

    Attributes:
        remarks: what is to be said about the search; the caller that says it empties the list.
    """

    def __init__(self, patterns: Mapping[str, str | None]) -> None:
        self._own = {name: regex for name, regex in patterns.items() if regex is not None}
        self._usual = {
            name: (name.lower(), re.compile(metric_regex(name))) for name, regex in patterns.items() if regex is None
        }
        self._seen: dict[str, int] = {}
        self._slow: dict[str, int] = {}
        self.remarks: list[str] = []

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to look for."""
        return not self._own and not self._usual

    def ignore(self, name: str) -> None:
        """Looks no more for a metric that the trial reports itself: it would be heard twice."""
        self._own.pop(name, None)
        self._usual.pop(name, None)

    def read(self, *lines: str) -> list[tuple[int, dict[str, float]]]:
        """The step and the metrics of each part of the lines that tells any; the last of a name, if there are several.

        The step is the one that the part names itself, or how often its metrics have been told.
        """
        return [(step, metrics) for _, step, metrics in self.read_many(lines)]

    def read_many(self, lines: Sequence[str]) -> list[tuple[int, int, dict[str, float]]]:
        """The same, each with the number of the line before it."""
        numbered = [(number, part) for number, line in enumerate(lines) for part in parts_of(line)]
        parts = [part for _, part in numbered]
        found: dict[int, dict[str, float]] = {}
        for index, part in enumerate(parts if self._usual else ()):
            told = self._usual_in(part)
            if told:
                found[index] = told
        for index, name, text in self._own_in(parts):
            value = number_in(text)
            if value is not None:
                found.setdefault(index, {})[name] = value
        return [
            (numbered[index][0], self._step_of(parts[index], found[index]), found[index]) for index in sorted(found)
        ]

    def _usual_in(self, part: str) -> dict[str, float]:
        lowered = part.lower()
        matches = ((name, pattern.search(part)) for name, (low, pattern) in self._usual.items() if low in lowered)
        return {name: float(match.group(1)) for name, match in matches if match is not None}

    def _own_in(self, parts: list[str]) -> list[tuple[int, str, str]]:
        if not self._own or not parts:
            return []
        found, slow = SEARCH.find(self._own, parts)
        for name in slow:
            self._slow[name] = self._slow.get(name, 0) + 1
            if self._slow[name] == _SLOW_LINES:
                self._own.pop(name, None)
                self.remarks.append(
                    f"the regex of {name!r} takes too long on what is printed, {SEARCH_TIME} s for a line: "
                    "the rest of the output is not searched for it"
                )
        return found

    def _step_of(self, part: str, metrics: Mapping[str, float]) -> int:
        for name in metrics:
            self._seen[name] = self._seen.get(name, 0) + 1
        step = _STEP.match(part)
        return int(step.group(1)) if step and len(step.group(1)) < 16 else max(self._seen[name] for name in metrics)


def number_in(text: str) -> float | None:
    """The number that a regex's group took; None where it took something else.

    Commas between thousands are left out of account.
    """
    if "," in text and re.match(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?\Z", text.strip()):
        text = text.replace(",", "")
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


class RegexSearch:
    """Searches lines for regexes that somebody wrote, in a process of its own: none can hang the process that asks.

    Python's engine may need hours for a line that a regex nearly fits, and cannot be interrupted in a thread. The process is started when it is first needed, and ends with this one.
    """

    def __init__(self) -> None:
        import _thread  # threading would take as long to import as all else here

        self._lock = _thread.allocate_lock()
        self._process: Any = None
        self._owner = 0

    def find(self, patterns: Mapping[str, str], lines: Sequence[str]) -> tuple[list[tuple[int, str, str]], list[str]]:
        """What the first group of each regex takes from the lines.

        Args:
            patterns: regexes by name; one that cannot be compiled finds nothing.
            lines: each is searched for each regex.

        Returns:
            For each match the number of the line, the name of the regex and the group's text, in order; and the
            names of regexes whose search took too long, once for each line that was given up.
        """
        request = json.dumps({"patterns": dict(patterns), "lines": list(lines)}).encode() + b"\n"
        with self._lock:
            try:
                answer = self._ask(request)
            except OSError:
                self._end()
                answer = b""
        if not answer:  # it was killed, or got stuck
            return [], list(patterns)
        told = json.loads(answer)
        return [(index, name, text) for index, name, text in told["found"]], told["slow"]

    def _ask(self, request: bytes) -> bytes:
        import select

        process = self._started()
        process.stdin.write(request)
        process.stdin.flush()
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], _ANSWER_TIME)
            data = os.read(process.stdout.fileno(), 1 << 20) if ready else b""
            if not data:
                self._end()
                return b""
            answer += data
        return answer

    def _started(self) -> Any:
        if self._owner != os.getpid():  # a fork of the process that started one
            self._process, self._owner = None, os.getpid()
        if self._process is None:
            import subprocess

            words = [sys.executable, "-I", "-S", os.path.abspath(__file__), "--search"]
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            process.stdout.close()
            try:
                process.stdin.close()
            except OSError:
                return  # what it did not take is of no use any more


SEARCH = RegexSearch()


class _TooSlow(Exception):
    """A search has taken too long."""


class _Searching:
    """Searches in the main thread of a process that does nothing else."""

    def __init__(self) -> None:
        import signal

        self._searching = self._fresh = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all
        signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_TIME, SEARCH_TIME)

    def _tick(self, *_: object) -> None:
        if self._searching and not self._fresh:
            raise _TooSlow
        self._fresh = False

    def answer(self, patterns: Mapping[str, str], lines: Sequence[str]) -> dict[str, Any]:
        """See `RegexSearch.find`."""
        found: list[tuple[int, str, str]] = []
        slow: list[str] = []
        for name, regex in patterns.items():
            try:
                pattern = re.compile(regex)
            except (re.error, RecursionError, OverflowError):
                continue  # the spec was checked; a request to a service need not have been
            until = time.process_time() + _LINES_TIME
            for index, line in enumerate(lines):
                if time.process_time() > until:
                    slow += [name] * _SLOW_LINES
                    break
                try:
                    found += [(index, name, text) for text in self._groups(pattern, line)]
                except (_TooSlow, MemoryError, RecursionError):
                    slow.append(name)
                    if slow.count(name) == _SLOW_LINES:
                        break
        return {"found": sorted(found, key=lambda each: each[0]), "slow": slow}

    def _groups(self, pattern: re.Pattern[str], line: str) -> list[str]:
        self._fresh = self._searching = True
        try:
            group = 1 if pattern.groups else 0
            return [match.group(group) or "" for match in pattern.finditer(line)]
        finally:
            self._searching = False


def _serve_searches() -> int:
    """Answers `RegexSearch` until it is gone."""
    import contextlib
    import resource

    most = 1 << 30  # bytes: what a regex remembers of its search may be a multiple of the line
    with contextlib.suppress(ValueError, OSError):  # a lower limit holds already
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    searching = _Searching()
    for line in sys.stdin.buffer:
        answer = searching.answer(**json.loads(line))
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


class _Listener:
    """Tells a sink of the metrics in a program's output."""

    def __init__(self, patterns: Mapping[str, str | None], sink: Sink) -> None:
        self._printed = PrintedMetrics(patterns)
        self._sink = sink
        self._lines = LineSplitter()

    def feed(self, data: bytes) -> None:
        """Takes the next piece of the output; nothing at its end."""
        lines = self._lines.feed(data) if data else self._lines.finish()
        for step, metrics in self._printed.read(*(line.decode("utf-8", "replace") for line in lines)):
            self._sink(step, time.time(), metrics)
        for remark in self._printed.remarks:
            print(f"cloudtune: {remark}", file=sys.stderr, flush=True)
        self._printed.remarks.clear()


# In a container of a service

JOB_FILE = "cloudtune_job.json"
"""What travels beside this file: what to run, how its parameters were encoded, and what its inputs are called."""

SOURCE_FILE = "sourcedir.tar.gz"
"""The user's code, where it is not unpacked already."""


class SageMaker:
    """What SageMaker gives a training job: folders below ``/opt/ml``, and hyperparameters that are all texts.

    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    """

    def __init__(self) -> None:
        configuration = os.environ.get("SM_INPUT_CONFIG_DIR", "/opt/ml/input/config")
        self.root = os.path.dirname(os.path.dirname(os.path.abspath(configuration)))
        self.configuration = configuration

    def parameters(self) -> dict[str, str]:
        """The hyperparameters by the service's names."""
        with open(os.path.join(self.configuration, "hyperparameters.json"), encoding="utf-8") as file:
            found: dict[str, str] = json.load(file)
        return found

    def environment(self) -> dict[str, str]:
        """The variables by which this module finds its way in the processes of the trial."""
        name = os.environ.get("TRAINING_JOB_NAME", "")
        number = re.search(r"-(\d+)-[0-9a-z]+\Z", name)
        return {
            "CLOUDTUNE_TRIAL": os.environ.get("CLOUDTUNE_TRIAL") or str(int(number.group(1)) - 1 if number else 0),
            "CLOUDTUNE_RUN": os.environ.get("CLOUDTUNE_RUN") or name,
            "CLOUDTUNE_OUTPUT_DIR": os.path.join(self.root, "model"),
            "CLOUDTUNE_CHECKPOINT_DIR": os.path.join(self.root, "checkpoints"),
            "CLOUDTUNE_RANK": str(self._rank()),
        }

    def _rank(self) -> int:
        """Which of the job's machines this is, as its resource configuration orders them."""
        try:
            with open(os.path.join(self.configuration, "resourceconfig.json"), encoding="utf-8") as file:
                resources = json.load(file)
            rank: int = sorted(resources["hosts"]).index(resources["current_host"])
        except (OSError, ValueError, KeyError):
            return 0  # an older service, or a test: one machine
        return rank

    def data(self, name: str) -> str:
        """The folder of an input."""
        return os.path.join(self.root, "input", "data", name)

    def sink(self) -> None:
        """None: the service reads the output itself."""

    def fail(self, reason: str) -> None:
        """Tells the service why the trial failed; it shows the first 1,024 characters."""
        folder = os.path.join(self.root, "output")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "failure"), "w", encoding="utf-8") as file:
            file.write(reason)


class Vertex:
    """What Vertex AI gives a trial: arguments, buckets as folders below ``/gcs``, and a file for metrics.

    https://cloud.google.com/vertex-ai/docs/training/code-requirements
    """

    def __init__(self) -> None:
        self.root = os.environ.get("CLOUDTUNE_GCS", "/gcs")

    def parameters(self) -> dict[str, str]:
        """The arguments by the service's names."""
        words = [word[2:].partition("=") for word in sys.argv[1:] if word.startswith("--")]
        return {name: text for name, equals, text in words if equals}

    def environment(self) -> dict[str, str]:
        """The variables by which this module finds its way in the processes of the trial."""
        trial_id = os.environ.get("CLOUD_ML_TRIAL_ID", "")  # counts from 1
        found = {
            "CLOUDTUNE_TRIAL": os.environ.get("CLOUDTUNE_TRIAL") or str(int(trial_id) - 1 if trial_id.isdigit() else 0),
            "CLOUDTUNE_RANK": str(self._rank()),
        }
        for variable, given in (("OUTPUT", "AIP_MODEL_DIR"), ("CHECKPOINT", "AIP_CHECKPOINT_DIR")):
            if os.environ.get(given):
                found[f"CLOUDTUNE_{variable}_DIR"] = self.path(os.environ[given])
        return found

    def _rank(self) -> int:
        """Which of the trial's machines this is: the first pool's comes first."""
        try:
            cluster = json.loads(os.environ["CLUSTER_SPEC"])
            task, pools = cluster["task"], sorted(cluster["cluster"])
            before = pools[: pools.index(task["type"])]
            rank: int = sum(len(cluster["cluster"][pool]) for pool in before) + int(task["index"])
        except (ValueError, KeyError):
            return 0  # one machine, or a test
        return rank

    def path(self, place: str) -> str:
        """A place in Cloud Storage, ``gs://bucket/name``, as the file or folder that the service shows."""
        return place.replace("gs:/", self.root, 1) if place.startswith("gs://") else place

    def data(self, name: str) -> str:
        """The folder or file of an input."""
        return self.path(os.environ.get(data_variable(name), ""))

    def sink(self) -> Sink | None:
        """Writes what a trial reports into the file that the service reads; None on all machines but the first."""
        place = os.environ.get("CLOUD_ML_HP_METRIC_FILE")
        if not place or self._rank():
            return None
        return _hypertune_sink(place.replace("/gcs/", self.root + "/", 1) if place.startswith("/gcs/") else place)

    def fail(self, reason: str) -> None:
        """Says why the trial failed; the service has no other place for it than the output."""
        print(reason, file=sys.stderr, flush=True)


def metric_id(name: str) -> str:
    """A metric's name as Vertex AI takes it: without white space."""
    return re.sub(r"\s+", "_", name)


def _hypertune_sink(path: str) -> Sink:
    """Adds each report to a file as the package cloudml-hypertune writes it: a line of JSON a metric.

    A program that reports by that package itself writes the file anew: it is left to it then.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    size = os.path.getsize(path) if os.path.exists(path) else 0

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        nonlocal size
        if os.path.exists(path) and os.path.getsize(path) != size:
            return
        with open(path, "a", encoding="utf-8") as file:
            for name, value in metrics.items():
                line = {"timestamp": moment, "trial": os.environ.get("CLOUD_ML_TRIAL_ID", "0")}
                told = {metric_id(name): str(value), "global_step": str(step), "checkpoint_path": ""}
                file.write(json.dumps({**line, **told}) + "\n")
        size = os.path.getsize(path)

    return sink


class AzureMl:
    """What Azure Machine Learning gives a job: the words of its command, variables, and an MLflow to report to.

    https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters
    """

    def parameters(self) -> dict[str, Any]:
        """The parameters by the service's names, those of branches beside the others.

        Its variables have the very values; in the words of the command a shell may have taken quotes away.
        """
        words = [word[2:].partition("=") for word in sys.argv[1:] if word.startswith("--")]
        found: dict[str, Any] = {name: text for name, equals, text in words if equals}
        return flattened_branches({name: os.environ.get(f"AZUREML_SWEEP_{name}", text) for name, text in found.items()})

    def environment(self) -> dict[str, str]:
        """The variables by which this module finds its way in the processes of the trial."""
        child = re.search(r"_(\d+)\Z", os.environ.get("AZUREML_RUN_ID", ""))  # SWEEP_0, SWEEP_1, …
        found = {
            "CLOUDTUNE_TRIAL": os.environ.get("CLOUDTUNE_TRIAL") or (child.group(1) if child else "0"),
            "CLOUDTUNE_RANK": self._rank(),
        }
        output = os.environ.get("CLOUDTUNE_AZUREML_OUTPUT")
        if output:
            found["CLOUDTUNE_OUTPUT_DIR"] = output
        return found

    def _rank(self) -> str:
        """Which of the trial's processes this is: as PyTorch, MPI or TensorFlow tell it, else which node."""
        found = next(
            (os.environ[name] for name in ("RANK", "OMPI_COMM_WORLD_RANK", "NODE_RANK") if name in os.environ), "0"
        )
        try:
            task = json.loads(os.environ["TF_CONFIG"])["task"]
            first = task["type"] in ("chief", "worker") and int(task["index"]) == 0
        except (ValueError, KeyError, TypeError):
            return found
        return "0" if first else str(int(task["index"]) + 1)

    def data(self, name: str) -> str:
        """The folder or file of an input, which stands in the command already."""
        return os.environ.get(data_variable(name), "")

    def sink(self) -> Sink | None:
        """Logs what a trial reports to MLflow; None on all machines but the first, and where no MLflow is."""
        if self.environment()["CLOUDTUNE_RANK"] != "0":
            return None
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri.startswith(("azureml://", "https://", "http://")):
            said = f"MLFLOW_TRACKING_URI is {uri!r}, no server of MLflow: the service learns no metrics"
            print(f"cloudtune: {said}", file=sys.stderr, flush=True)
            return None
        return _mlflow_sink(uri, os.environ.get("MLFLOW_RUN_ID") or os.environ["AZUREML_RUN_ID"])

    def fail(self, reason: str) -> None:
        """Says why the trial failed; the service shows the end of the output."""
        print(reason, file=sys.stderr, flush=True)


class MlflowTracking:
    """MLflow's tracking API, spoken by the standard library alone: an environment needs no mlflow for it.

    Importing mlflow would take seconds of every trial. The addresses, the token and how it is made anew are those by
    which Azure Machine Learning's guide logs from R: https://learn.microsoft.com/azure/machine-learning/how-to-r-modify-script-for-production
    and https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch

    Args:
        uri: of the server, ``https://…`` or ``azureml://…``.
        run_id: of the run that takes the metrics.
    """

    TRIES = 8
    """How often a call is sent at most; the waits between them add up to half a minute."""

    def __init__(self, uri: str, run_id: str) -> None:
        import ssl

        self._uri = uri.replace("azureml://", "https://", 1).partition("?")[0].rstrip("/")
        self._run_id = run_id
        bundle = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get("REQUESTS_CA_BUNDLE")
        self._tls = ssl.create_default_context(cafile=bundle) if self._uri.startswith("https:") else None

    def log(self, step: int, moment: float, metrics: dict[str, float]) -> None:
        """Logs the values of one report in one call.

        Raises:
            OSError: the server cannot be reached or refuses; the message says which.
        """
        told = [
            {"key": name, "value": _mlflow_number(value), "timestamp": int(moment * 1000), "step": step}
            for name, value in metrics.items()
        ]
        url = f"{self._uri}/api/2.0/mlflow/runs/log-batch"
        body = {"run_id": self._run_id, "metrics": told}
        for again in range(self.TRIES - 1):
            try:
                self._send(url, body)
            except OSError as error:
                code = getattr(error, "code", None)
                if code == 401:
                    self._renew()
                elif code is not None and code < 500 and code not in (408, 429):
                    raise
                time.sleep(0.25 * 2**again)
            else:
                return
        self._send(url, body)

    def _renew(self) -> None:
        """Takes a new token for the old one, which holds for some hours."""
        url = self._uri.replace("/mlflow/v1.0", "/history/v1.0", 1)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
        try:
            found = self._send(f"{url}/experimentids/{experiment}/runs/{self._run_id}/token", None)
        except OSError:
            return  # the call that needs it is about to say why
        if isinstance(found, dict) and found.get("token"):
            os.environ["MLFLOW_TRACKING_TOKEN"] = found["token"]

    def _send(self, url: str, body: Mapping[str, Any] | None) -> Any:
        """What a POST of the body answers; a GET where there is none."""
        import urllib.request

        headers = {"Content-Type": "application/json"}
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers)  # noqa: S310  # `AzureMl.sink` lets only http through
        with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None


def _mlflow_number(value: float) -> float | str:
    """A number as MLflow's JSON has it: NaN and the infinities as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _mlflow_sink(uri: str, run_id: str) -> Sink:
    """Logs each report to a run of MLflow; says so if it does not get there."""
    tracking = MlflowTracking(uri, run_id)

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        try:
            tracking.log(step, moment, metrics)
        except OSError as error:
            names = ", ".join(metrics)
            print(f"cloudtune: MLflow did not take {names} of step {step}: {error}", file=sys.stderr, flush=True)

    return sink


def flattened_branches(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by name; those of a branch, which come as a dict or its text, beside the others."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        branch = _branch(value)
        found.update({name: value} if branch is None else flattened_branches(branch))
    return found


def _branch(value: Any) -> dict[str, Any] | None:
    """The dict that a value is, or that its text says: as JSON, or as Python writes it."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(value)
    except ValueError:
        import ast

        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return None
    return found if isinstance(found, dict) else None


def _service() -> SageMaker | Vertex | AzureMl:
    """The service whose container this is."""
    if "AZUREML_RUN_ID" in os.environ:
        return AzureMl()
    vertex = any(name in os.environ for name in ("CLOUDTUNE_CODE", "CLOUD_ML_TRIAL_ID", "AIP_MODEL_DIR"))
    return Vertex() if vertex else SageMaker()


def _run_in_container(folder: str) -> int:
    """Runs what the job file in a folder says as a trial of a service; returns the exit code."""
    import shutil
    import tempfile

    own = tempfile.mkdtemp(prefix="cloudtune-trial-")
    try:
        return _run_in(own, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)  # a machine that plays the container outlives the trial


def _run_in(own: str, folder: str) -> int:
    """The same, with a folder of the trial's own."""
    with open(os.path.join(folder, JOB_FILE), encoding="utf-8") as file:
        job = json.load(file)
    service = _service()
    source = _unpacked(folder, own)
    _write_parameters(own, decode_parameters(job["codecs"], service.parameters()))
    os.environ.update(service.environment())
    os.environ["CLOUDTUNE_PARAMETERS"] = os.path.join(own, "parameters.json")
    for name, below in job["data"].items():
        place = service.data(name)  # Azure Machine Learning gives a single file itself, the others its folder
        os.environ[data_variable(name)] = os.path.join(place, below) if below and not os.path.isfile(place) else place
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", ""), own]))
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    os.chdir(source)
    sink = service.sink()
    listen = None if sink is None else _Listener(job["patterns"], sink).feed
    reasons: list[str] = []
    try:
        if job["function"] is None:
            code = _run_command(job["command"], job["names"], reasons, listen)
        elif listen is not None:  # in a process of its own: what it prints is listened to
            words = [
                sys.executable,
                os.path.abspath(__file__),
                "--function",
                job["function"],
                "--metric",
                job["metric"],
            ]
            code = _run_words(words, reasons, listen)
        else:
            sys.path.insert(0, source)
            code = _run_function(job["function"], job["metric"], reasons)
    except Exception as error:
        service.fail(f"{type(error).__name__}: {error}")
        raise
    if code:
        service.fail("; ".join(reasons) or f"it exited with code {code}")
    return code


def _unpacked(folder: str, own: str) -> str:
    """The folder of the user's code: the job file's, or a new one below the trial's own for an archive beside it."""
    archive = os.path.join(folder, SOURCE_FILE)
    if not os.path.exists(archive):
        return folder
    import tarfile

    target = os.path.join(own, "source")
    with tarfile.open(archive) as packed:
        packed.extractall(target)  # noqa: S202  # we packed it ourselves, beneath a hash of its content
    return target


def _write_parameters(folder: str, parameters: Mapping[str, Scalar]) -> None:
    """Writes the trial's parameters, and ``cloudtune.trial`` for images that lack cloudtune."""
    import importlib.util
    import shutil

    with open(os.path.join(folder, "parameters.json"), "w", encoding="utf-8") as file:
        json.dump({"parameters": parameters}, file)
    if importlib.util.find_spec("cloudtune") is None:
        os.mkdir(os.path.join(folder, "cloudtune"))
        open(os.path.join(folder, "cloudtune", "__init__.py"), "w").close()  # an empty file
        shutil.copyfile(os.path.abspath(__file__), os.path.join(folder, "cloudtune", "trial.py"))


# The program


def main(arguments: Sequence[str]) -> int:
    """Runs a command or a function as a trial; returns the exit code."""
    here = os.path.dirname(os.path.abspath(__file__))
    rest = list(arguments)
    if rest == ["--search"]:
        return _serve_searches()
    if os.path.exists(os.path.join(here, JOB_FILE)) and "CLOUDTUNE_PARAMETERS" not in os.environ:
        return _run_in_container(here)
    if rest[:1] == ["--"] and len(rest) > 1:
        return _run_command(rest[1:], _current().names)
    options = dict(zip(rest[::2], rest[1::2]))  # noqa: B905  # not in Python 3.8
    if len(rest) % 2 or "--function" not in options or set(options) - {"--function", "--metric"}:
        print(__doc__, file=sys.stderr)
        return 2
    return _run_function(options["--function"], options.get("--metric"))


def _run_function(place: str, metric: str | None, reasons: list[str] | None = None) -> int:
    """Calls a function with the parameters and reports what it returns; adds why it could not to the reasons."""
    try:
        function = load_function(place)
    except ImportError as error:
        return _say(f"the function cannot be loaded: {error}", 1, reasons)
    metrics = call_function(function, params(), metric)
    if metrics:
        report(metrics)
    return 0


def _say(what: str, code: int, reasons: list[str] | None) -> int:
    print(what, file=sys.stderr)
    if reasons is not None:
        reasons.append(what)
    return code


def _run_command(
    command: str | list[str], names: Sequence[str], reasons: list[str] | None = None, listen: Listen | None = None
) -> int:
    """Runs a command with the parameters placed; see `_run_words`."""
    return _run_words(compile_command(command, names)(_current().parameters), reasons, listen)


def _run_words(words: list[str], reasons: list[str] | None, listen: Listen | None = None) -> int:
    """Runs a program, passes on requests to end, and says how it ended.

    Args:
        words: the program and its arguments.
        reasons: takes why it failed.
        listen: takes each piece of its output, which is passed on; None to leave the output as it is.
    """
    import signal
    import subprocess

    requests: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(signum: int, frame: object) -> None:  # noqa: ARG001  # the signature of a handler
        requests.append(signum)
        for child in children:
            child.send_signal(signum)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command, too
    output, errors = (None, None) if listen is None else (subprocess.PIPE, subprocess.STDOUT)
    try:
        child: subprocess.Popen[bytes] = subprocess.Popen(words, stdout=output, stderr=errors)
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        return _say(f"the command {words[0]!r} cannot be started: {error.strerror}", code, reasons)
    children.append(child)
    for signum in requests[:]:  # those that came before there was a child
        child.send_signal(signum)
    if listen is not None:
        reader = _pass_on_output(child, listen)
    code = child.wait()
    if listen is not None:
        reader.join(_LAST_WORDS)
    if code:
        _say(_ending(code), code, reasons)
    return 128 - code if code < 0 else code


_LAST_WORDS = 5.0  # seconds for what a command's own children may still write when it has ended


def _pass_on_output(child: Any, listen: Listen) -> Any:
    """Passes a command's output on, piece by piece, in a thread of its own."""
    import threading

    def read() -> None:
        while True:
            data = child.stdout.read1(1 << 16)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            listen(data)
            if not data:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _ending(code: int) -> str:
    """How a command ended, from its exit code, which is a signal's number below zero."""
    import signal

    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):  # the latter is how a shell tells it of its own child
        return "the command was killed by SIGKILL: most likely memory ran out"
    if code < 0:
        return f"the command was killed by signal {signal.Signals(-code).name}"
    return f"the command ended with exit code {code}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
