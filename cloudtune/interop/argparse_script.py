"""Proposal of a job from a training script's options of argparse or click, which are parsed, not executed."""

import ast
import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cloudtune.errors import ConfigError

_MAX_SIZE = 1 << 20

_NOT_TUNED = re.compile(
    r"(?:^|_)(?:dir|path|file|folder|data|dataset|output|out|input|log|logs|logging|save|load|resume|checkpoint|ckpt|model_name"
    r"|name|device|gpu|gpus|cuda|rank|local_rank|world_size|port|host|workers|num_workers|seed|verbose|debug|dry_run|url|uri"
    r"|tag|project|entity|interval|every|epochs|num_epochs|n_epochs|max_epochs|steps|max_steps|download|root)(?:_|\Z)"
)
"""Options for paths, durations, logging and the like, which are not tuned."""

_LOGARITHMIC = re.compile(
    r"(?:^|_)(?:lr|rate|decay|alpha|lambda|lamda|reg|l1|l2|eps|epsilon|tol|c|gamma|sigma|temperature)(?:_|\Z)"
)
_FRACTION = re.compile(r"(?:^|_)(?:dropout|momentum|beta|beta1|beta2|ratio|fraction|prob|probability|p|subsample|colsample\w*|val_split|smoothing)(?:_|\Z)")  # fmt: skip
_MAXIMIZED = re.compile(
    r"acc|auc|f1|score|precision|recall|reward|return|r2|bleu|rouge|map|iou|dice|ndcg|kappa|mcc", re.I
)
_METRIC = re.compile(r"(?:loss|error|err|rmse|mse|mae|perplexity|ppl|logloss|nll|acc|auc|f1|score|precision|recall|reward|r2|bleu|rouge|iou|dice|ndcg)", re.I)  # fmt: skip
_PRINTED = re.compile(r"([A-Za-z][\w.:/-]*)\s*[=:]\s*\Z")


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a script.

    Attributes:
        name: its name on the command line, without leading dashes.
        kind: ``int``, ``float``, ``str`` or ``bool``.
        default: its default; None for none, or for one that is not a literal.
        choices: the allowed values; () for any.
        required: whether it must be given.
        help: its help text.
        flag: whether it takes no value.
    """

    name: str
    kind: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    required: bool = False
    help: str = ""
    flag: bool = False


@dataclass(slots=True)
class Proposal:
    """The proposal for a script.

    Attributes:
        space: the parameters, by the options' names.
        fixed: required options that are not tuned, with their default or None.
        left: options that are not tuned, each with the reason.
        metric: the objective's metric.
        goal: ``minimize`` or ``maximize``.
        notes: what the user should check.
    """

    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    metric: str = "loss"
    goal: str = "minimize"
    notes: list[str] = field(default_factory=list)


def proposal_of(script: Path) -> Proposal:
    """Parse a script and propose a space, fixed options and an objective, without executing it.

    Raises:
        ConfigError: the script cannot be read, or is not Python.
    """
    tree = _parsed(script)
    found = Proposal()
    for option in options_of(tree):
        _propose(option, found)
    if not found.space:
        named = _read_parameters(tree)
        found.space |= {name: space for name, value in named.items() if (space := _space_of(name, value)) is not None}
        if not found.space:
            found.space["learning_rate"] = {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"}
            found.notes.append("no option of the script looks like one to tune; learning_rate stands for yours")
    _objective(tree, found)
    return found


def _parsed(script: Path) -> ast.Module:
    try:
        if script.stat().st_size > _MAX_SIZE:
            raise ConfigError(f"{script} is larger than a script")
        return ast.parse(script.read_bytes(), str(script))
    except OSError as error:
        raise ConfigError(f"{script} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{script} is not read as Python: {error}") from error


# Options


def options_of(tree: ast.Module) -> Iterator[Option]:
    """Yield the options declared by argparse's ``add_argument`` and click's ``option``, in the script's order."""
    constants = _constants(tree)
    seen: set[str] = set()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        option = _option_of(call, constants) if function in ("add_argument", "option") else None
        if option is not None and option.name not in seen:
            seen.add(option.name)
            yield option


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the literals assigned to names at the module's top level."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _value(node.value, found)
    return found


def _value(node: ast.expr | None, constants: dict[str, Any]) -> Any:
    """Return the value of a literal, a constant or simple arithmetic; None for other expressions."""
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.Mult | ast.Div):
        return _calculated(node, constants)
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _calculated(node: ast.BinOp, constants: dict[str, Any]) -> float | int | None:
    """Return the value of ``10 ** -3``, ``64 * 2`` or ``1 / 3``."""
    left, right = _value(node.left, constants), _value(node.right, constants)
    if not all(isinstance(each, int | float) and abs(each) < 1e6 for each in (left, right)):  # no huge powers
        return None
    try:
        if isinstance(node.op, ast.Pow):
            return float(left) ** right if abs(right) <= 64 else None
        return left * right if isinstance(node.op, ast.Mult) else left / right  # type: ignore[no-any-return]
    except (ArithmeticError, ValueError):
        return None


_TYPES = {"int": "int", "INT": "int", "IntRange": "int", "float": "float", "FLOAT": "float", "FloatRange": "float",
    "bool": "bool", "BOOL": "bool", "str": "str", "STRING": "str"}  # fmt: skip


def _option_of(call: ast.Call, constants: dict[str, Any]) -> Option | None:
    names = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    long = [name for name in names if name.startswith("--")]
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if not long and not (names and names[0].startswith("-")):
        return None  # a positional argument, or a call of something else
    name = (long or names)[0].partition("/")[0].lstrip("-")
    action = _value(given.get("action"), constants)
    if action in ("version", "help") or not name:
        return None
    default, choices = _value(given.get("default"), constants), _choices(given, constants)
    flag = action in ("store_true", "store_false") or _value(given.get("is_flag"), constants) is True
    return Option(
        name=name,
        kind="bool" if flag or action == "BooleanOptionalAction" else _kind(given.get("type"), default, choices),
        default=default,
        choices=choices,
        required=_value(given.get("required"), constants) is True,
        help=str(_value(given.get("help"), constants) or ""),
        flag=flag or "action" in given,
    )


def _choices(given: dict[str, ast.expr], constants: dict[str, Any]) -> tuple[Any, ...]:
    node: ast.expr | None = given.get("choices")
    kind = given.get("type")
    if isinstance(kind, ast.Call) and _name_of(kind.func) == "Choice" and kind.args:
        node = kind.args[0]
    value = _value(node, constants)
    if isinstance(node, ast.Call) and _name_of(node.func) == "range":
        bounds = [_value(arg, constants) for arg in node.args]
        value = (
            list(range(*bounds))
            if bounds and all(isinstance(each, int) and abs(each) < 1000 for each in bounds)
            else None
        )  # a list to read
    return tuple(value) if isinstance(value, list | tuple | set) else ()


def _name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _kind(node: ast.expr | None, default: Any, choices: tuple[Any, ...]) -> str:
    if node is not None:
        name = _name_of(node.func) if isinstance(node, ast.Call) else _name_of(node)
        return _TYPES.get(name, "str")
    sample = choices[0] if choices else default
    return type(sample).__name__ if isinstance(sample, bool | int | float) else "str"


# The space


def _propose(option: Option, found: Proposal) -> None:
    key = option.name.replace("-", "_").lower()
    space = None if _NOT_TUNED.search(key) or option.flag else _space_of(option.name, option.default, option)
    if space is not None:
        found.space[option.name] = space
        return
    found.left[option.name] = "a flag" if option.flag else f"default {option.default!r}" if option.default is not None else "no default"  # fmt: skip
    if option.required:
        found.fixed[option.name] = option.default
        if option.default is None:
            found.notes.append(f"--{option.name} must be given: write its value into the command")


def _space_of(name: str, default: Any, option: Option | None = None) -> dict[str, Any] | None:
    """Return a parameter around a default or with the option's choices; None if no range is known."""
    if option is not None and option.choices:
        values = [value for value in option.choices if isinstance(value, str | int | float | bool)]
        return {"type": "categorical", "values": values} if len(values) > 1 else None
    if isinstance(default, bool) or not isinstance(default, int | float) or not math.isfinite(default):
        return None
    key = name.replace("-", "_").lower()
    if (option.kind if option is not None else type(default).__name__) == "int" and float(default).is_integer():
        return _whole(int(default))
    if _FRACTION.search(key) and 0 <= default <= 1:
        return {"type": "float", "low": 0.0, "high": 0.99 if default < 1 else 1.0}
    if default > 0 and (_LOGARITHMIC.search(key) or default <= 0.01):  # small defaults usually vary by powers of ten
        return {"type": "float", "low": _short(default / 100), "high": _short(default * 100), "scale": "log"}
    if default == 0:
        return {"type": "float", "low": 0.0, "high": 1.0}
    low, high = sorted((default / 4, default * 4))
    return {"type": "float", "low": _short(low), "high": _short(high)}


def _whole(default: int) -> dict[str, Any] | None:
    if default <= 0:
        return {"type": "int", "low": default, "high": 10} if default == 0 else None
    low, high = max(1, default // 4), default * 4
    return {
        "type": "int",
        "low": low,
        "high": high,
        **({"scale": "log"} if high / low >= 16 and default >= 8 else {}),
    }  # sizes double


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _read_parameters(tree: ast.Module) -> dict[str, Any]:
    """Return the parameters that a script reads from ``trial.params()``, with defaults: ``p.get("lr", 0.1)``."""
    holders = {node.targets[0].id for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call) and _name_of(node.value.func) == "params"}  # fmt: skip
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            holder, arguments = _name_of(node.func.value), node.args
        elif isinstance(node, ast.Subscript):
            holder, arguments = _name_of(node.value), [node.slice]
        else:
            continue
        name = _value(arguments[0], {}) if arguments and holder in holders else None
        if isinstance(name, str):
            default = _value(arguments[1], {}) if len(arguments) > 1 else None
            found[name] = found.get(name) or default or 0.01
    return found


# The objective


def _objective(tree: ast.Module, found: Proposal) -> None:
    metrics = list(dict.fromkeys(_metrics(tree)))
    likely = [name for name in metrics if _METRIC.search(name)]
    best = next((name for name in likely if re.match(r"(?:val|valid|validation|eval|test|dev)", name, re.I)), None)
    chosen = best or (likely[-1] if likely else metrics[0] if metrics else None)
    if chosen is None:
        found.notes.append('the script prints no metric that could be told; print one as "loss=0.25", or report it: cloudtune.trial.report(loss=0.25)')  # fmt: skip
        return
    found.metric = chosen
    found.goal = "maximize" if _MAXIMIZED.search(chosen) else "minimize"


def _metrics(tree: ast.Module) -> Iterator[str]:
    """Yield the names of metrics: those reported, and those printed in front of a value."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name_of(node.func)
        if name == "report":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "step")
        elif name in ("print", "info", "log", "write", "echo"):
            for argument in node.args:
                yield from _printed(argument)
                if name == "print" and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield from _before_value(argument.value)


def _printed(node: ast.expr) -> Iterator[str]:
    """Yield the names in front of the values of an f-string, a ``%`` or a ``format``."""
    if isinstance(node, ast.JoinedStr):
        for part, following in zip(node.values, node.values[1:], strict=False):
            if isinstance(part, ast.Constant) and isinstance(following, ast.FormattedValue):
                yield from _before_value(str(part.value))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
        for text in re.split(r"%[-+ #0]*\d*(?:\.\d+)?[a-z]", str(node.left.value))[:-1]:
            yield from _before_value(text)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format" and isinstance(node.func.value, ast.Constant):  # fmt: skip
        for text in re.split(r"\{[^{}]*\}", str(node.func.value.value))[:-1]:
            yield from _before_value(text)


def _before_value(text: str) -> Iterator[str]:
    found = _PRINTED.search(text)
    if found:
        yield found[1]


def job_text(script: str, name: str, found: Proposal) -> str:
    """Return the job's YAML for a proposal.

    Args:
        script: the script's path for the command.
        name: the job's name.
        found: the proposal.
    """

    def flow(value: object) -> str:
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip().removesuffix("...").strip()  # fmt: skip

    fixed = "".join(f" --{option} {shlex.quote(str(value)) if value is not None else 'VALUE'}" for option, value in found.fixed.items())  # fmt: skip
    command = f"python {shlex.quote(script)}{fixed}"
    rows = [f"  {flow(key)}: {flow(value)}" for key, value in found.space.items()]
    left = [f"  # not tuned: --{option} ({' '.join(why.split())})" for option, why in found.left.items()]
    notes = [f"# - {' '.join(note.split())}" for note in found.notes]
    return "\n".join(
        [
            "# yaml-language-server: $schema=cloudtune.schema.json",
            f"# Proposed from the options of {script}: look at each range before you spend on it.",
            *notes,
            f"name: {name}",
            "trial:",
            "  source: .                                    # the folder that travels; what holds secrets stays here",
            f"  command: {flow(command)}",
            f"objective: {{metric: {flow(found.metric)}, goal: {found.goal}}}",
            "space:",
            *rows,
            *left,
            "strategy: {type: bayesian, seed: 1}",
            "limits: {trials: 20, parallel: 2}",
            "",
        ]
    )
