"""Hints from a trial's output for a missing objective: the names printed with numbers, and what its regex matched."""

import keyword
import re
from collections import deque
from collections.abc import Iterable, Sequence

from cloudtune.errors import CloudtuneError
from cloudtune.trial.matching import SEARCH
from cloudtune.trial.printed_metrics import parts_of

_LOOKED_AT = 400  # characters of a line that are searched for names
_SHOWN = 8  # names in a message
_MOST = 1000  # lines

_ESCAPES = re.compile(r"(?:\x1b|#033)(?:\[[0-9;:?]*[A-Za-z]|\(B)")
_PAIR = re.compile(
    r"""(?<![\w./@-])([^\W\d][\w./@:-]{0,80})["']?[ \t]*[=:][ \t]*["']?"""
    r"""([-+\u2212]?(?:\.?\d[^\s"')\]}>|;]{0,40}|(?:nan|inf)\b))""",
    re.IGNORECASE,
)


def last_lines(lines: Iterable[str], most: int = _MOST) -> list[str]:
    """Return the last lines, at most `most`; where the iterator raises, the last ones before the error."""
    kept: deque[str] = deque(maxlen=most)
    try:
        kept.extend(lines)
    except CloudtuneError:
        return list(kept)  # the service sends no more lines
    return list(kept)


def named_numbers(lines: Iterable[str]) -> dict[str, str]:
    """Return the names printed with a number, in the order of first occurrence, each with its last number as text."""
    found: dict[str, str] = {}
    for line in lines:
        for part in parts_of(line):
            for match in _PAIR.finditer(_ESCAPES.sub("", part[:_LOOKED_AT])):
                found[match[1].rstrip(":")] = match[2].rstrip(",.:!?")
    return found


def instead_of(metric: str, regex: str | None, lines: Sequence[str], reported: Iterable[str] = ()) -> str:
    """Return what a trial printed or reported instead of a metric, as the end of a sentence; "" for nothing.

    Args:
        metric: the name.
        regex: the objective's regex; None for ``name=number``.
        lines: the trial's output, or a part of it.
        reported: the names of the metrics that were found.
    """
    printed = named_numbers(lines)
    names = list(dict.fromkeys([*reported, *printed]))
    hints = []
    if regex is not None:
        hints.append(_what_the_regex_took(regex, lines))
    elif metric in printed:
        hints.append(
            f"it printed {metric}={printed[metric]}, and that is no plain number; units need a space before them"
        )
        names.remove(metric)
    elif written := _written(metric, lines):
        hints.append(f"it printed {metric}={written}, and that is no plain number")
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        hints.append(f"the metrics seen were {shown}{_nearest(metric, names)}")
    return "; ".join(hints)


def _written(metric: str, lines: Sequence[str]) -> str:
    """Return the last text printed behind ``metric=``, at most 40 characters; "" for none."""
    pattern = re.compile(rf"""(?<![\w./-]){re.escape(metric)}["']?[ \t]*[=:][ \t]*(\S{{1,40}})""", re.IGNORECASE)
    found = [pattern.search(_ESCAPES.sub("", part[:_LOOKED_AT])) for line in lines for part in parts_of(line)]
    return next((match[1] for match in reversed(found) if match is not None), "")


def _nearest(metric: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # only mistakes need it

    by_folded = {name.casefold(): name for name in reversed(names)}
    folded = metric.casefold()
    ends = [name for name in names if folded in re.split(r"[/:._ -]", name.casefold())]
    close = get_close_matches(folded, list(by_folded), n=1, cutoff=0.5)
    found = ends[:1] or [by_folded[one] for one in close]
    return f" (the nearest is {found[0]})" if found else ""


def _what_the_regex_took(regex: str, lines: Sequence[str]) -> str:
    parts = [part for line in lines for part in parts_of(line)]
    found, slow = SEARCH.find({"": regex}, parts)
    if slow and not found:
        return f"its regex '{regex}' took too long on what it printed"
    if not found:
        return f"its regex '{regex}' matched none of the lines that were looked at"
    index, _, text = found[-1]
    return f"its regex '{regex}' matched {_shortened(parts[index])!r} and took {_shortened(text)!r}, which is no number"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


_CALLS = {
    "wandb": "wandb.log({{{name!r}: VALUE}})",
    "mlflow": "mlflow.log_metric({name!r}, VALUE)",
    "tensorboard": "SummaryWriter.add_scalar({name!r}, VALUE, STEP)",
}


def how_to_log(name: str, source: str) -> str:
    """Return what a program must do for a metric to be heard that has a source."""
    call = _CALLS[source].format(name=name)
    return f"call {call} in a Python program that is started without -I, -E or -S, or take the source away"


def how_to_report(metric: str) -> str:
    """Return the call that reports a metric, as Python."""
    plain = metric.isidentifier() and not keyword.iskeyword(metric) and metric != "step"
    return (
        f"cloudtune.trial.report({metric}=VALUE)"
        if plain
        else f'cloudtune.trial.report({{"{_quoted(metric)}": VALUE}})'
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
