"""Parse the metrics in what a trial prints.

The grammar is the regex of `metric_regex` everywhere: here, and on services that search logs themselves.
"""

# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import re
import sys
import time
from functools import lru_cache

from .matching_process import SEARCH_TIME, SLOW_LINES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .annotations import Sink


LONGEST_LINE = 1 << 16
"""Characters at the beginning of a line that are searched for metrics."""

HEARD = "heard"
"""The word behind the step in a line of what was heard; see `cloudtune.trial.listening`."""

_STEP = re.compile(r"step (\d+): ")  # the beginning of a printed report

# Colours and other escape codes; the logs of SageMaker have #033 for ESC, #015 for CR and #011 for a tab.
_ESCAPE = r"(?:\x1b|#033)(?:\[[0-9;:?]*[A-Za-z]|\(B)"
_NUMBER = (
    r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)"
)
_AFTER = r"""(?:$|[\s\x07\x08\x1b)\]}>|;─-╿]|[,"'](?:$|[^0-9.+-])|[.:!?](?:$|[\s\x1b"')\]}])|#0[0-3][0-7])"""


def metric_regex(name: str, *, any_case: bool = True) -> str:
    """Return the regex that finds ``name=number`` or ``name: number`` in a line; the last one if there are several.

    The name may have quotes and any case, and escape codes of terminals may be between all parts. It is not matched as
    the end of a longer name: ``loss`` is neither found in ``val_loss=1`` nor in ``train/loss=1``. The number is
    followed by the end, white space or punctuation: 12.75ms, 1,234.5 or 93% do not match.

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


def heard_regex(name: str) -> str:
    """Return the regex that finds a metric in a line of what the trial's process has heard, and in no other line.

    Args:
        name: of the metric.
    """
    spelt = "".join(_plain(char) for char in name)
    return f"^step [0-9]+: {HEARD} (?:.* )?{spelt}=({_NUMBER})(?: |$)"


@lru_cache(maxsize=256)  # a run makes a `PrintedMetrics` for every attempt
def _usual_pattern(name: str) -> re.Pattern[str]:
    return re.compile(metric_regex(name))


def _letter(char: str) -> str:
    cases = sorted({char, char.lower(), char.upper()})
    return f"[{''.join(cases)}]" if len(cases) > 1 and all(len(case) == 1 for case in cases) else _plain(char)


def _plain(char: str) -> str:
    return char if char.isalnum() or char in "_ /:-" else "\\" + char


def parts_of(line: str) -> list[str]:
    """Return the parts of a line of output between carriage returns, as a progress bar writes them.

    A part that is too long is cut and ends with a NUL, which keeps a number that was cut from matching.
    """
    parts = line.split("\r") if "\r" in line else [line]
    return [part if len(part) <= LONGEST_LINE else part[:LONGEST_LINE] + "\0" for part in parts if part]


class LineSplitter:
    """Splits a stream of bytes into lines, in bounded memory: lines are cut that exceed `LONGEST_LINE` by far.

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
        """Return the lines that end in the next piece, without their ends: line feeds and carriage returns."""
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        if lines:
            lines[0] = self._rest if self._too_long else self._rest + lines[0]
            self._rest, self._too_long = b"", False
        if not self._too_long:
            self._rest += rest
            self._too_long = len(self._rest) > 4 * LONGEST_LINE  # no character has more bytes than four
        return [line for line in lines if line]

    def finish(self) -> list[bytes]:
        """Return the last line if it has no end."""
        line, self._rest, self._too_long = self._rest, b"", False
        return [line] if line else []

    def skip(self) -> None:
        """Drop the line that has begun, and the rest of it that follows."""
        self._rest, self._too_long = b"", True


class PrintedMetrics:
    """Parses the metrics in the lines of one trial.

    Args:
        patterns: for each metric a regex whose first group is the number; None for `metric_regex`.

    Attributes:
        remarks: messages about the search; the caller shows them and empties the list.
    """

    def __init__(self, patterns: Mapping[str, str | None]) -> None:
        self._own = {name: regex for name, regex in patterns.items() if regex is not None}
        self._usual = {name: (name.lower(), _usual_pattern(name)) for name, regex in patterns.items() if regex is None}
        self._seen: dict[str, int] = {}
        self._slow: dict[str, int] = {}
        self.remarks: list[str] = []

    @property
    def exhausted(self) -> bool:
        """Whether no metric is left to search for."""
        return not self._own and not self._usual

    def ignore(self, name: str) -> None:
        """Stop searching for a metric that the trial reports itself: it would be recorded twice."""
        self._own.pop(name, None)
        self._usual.pop(name, None)

    def read(self, *lines: str) -> list[tuple[int, dict[str, float]]]:
        """Return the step and the metrics of each part of the lines that has any; the last of a name, if there are several.

        The step is the one that the part names, or the number of times that its metrics have been printed.
        """
        return [(step, metrics) for _, step, metrics in self.read_many(lines)]

    def read_many(self, lines: Sequence[str]) -> list[tuple[int, int, dict[str, float]]]:
        """Return the results of `read`, each preceded by the index of its line."""
        numbered = [(number, part) for number, line in enumerate(lines) for part in parts_of(line)]
        parts = [part for _, part in numbered]
        found: dict[int, dict[str, float]] = {}
        for index, part in enumerate(parts if self._usual else ()):
            values = self._usual_in(part)
            if values:
                found[index] = values
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
        from .matching import SEARCH

        found, slow = SEARCH.find(self._own, parts)
        for name in slow:
            self._slow[name] = self._slow.get(name, 0) + 1
            if self._slow[name] == SLOW_LINES:
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
    """Return the number that a regex's group matched, with or without commas between thousands; None if it is none."""
    if "," in text and re.match(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?\Z", text.strip()):
        text = text.replace(",", "")
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


class Listener:
    """Sends the metrics in a program's output to a sink."""

    def __init__(self, patterns: Mapping[str, str | None], sink: Sink) -> None:
        self._printed = PrintedMetrics(patterns)
        self._sink = sink
        self._lines = LineSplitter()

    def feed(self, data: bytes) -> None:
        """Take the next piece of the output; an empty one at its end."""
        lines = self._lines.feed(data) if data else self._lines.finish()
        for step, metrics in self._printed.read(*(line.decode("utf-8", "replace") for line in lines)):
            self._sink(step, time.time(), metrics)
        for remark in self._printed.remarks:
            print(f"cloudtune: {remark}", file=sys.stderr, flush=True)
        self._printed.remarks.clear()
