"""The metrics that were heard: which of them are reported, and at which step."""

# ruff: noqa: PLC0415  # what only some programs need is imported when they need it

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_MOST = 256
"""Names of other metrics that are kept for the next report."""

_DEEPEST = 8  # levels of mappings in mappings


def numbers_in(values: Mapping[Any, Any], depth: int = 0) -> Iterator[tuple[str, float]]:
    """Yield the numbers in what a program logs, those of inner mappings as ``outer.inner``, without pictures and the like."""
    for name, value in values.items():
        if hasattr(value, "items"):
            if depth < _DEEPEST:
                yield from ((f"{name}.{inner}", number) for inner, number in numbers_in(value, depth + 1))
        elif hasattr(value, "__float__") and not isinstance(value, str):
            try:
                yield str(name), float(value)
            except (TypeError, ValueError, OverflowError, RuntimeError):
                continue  # an array of several numbers


class Hearing:
    """Reports the metrics that are heard.

    Each value of a metric with a source makes a report, together with what else was heard since the report before. Its step is
    the program's own where that grows; else the next one, from 1, so that several runs in one process continue one another.

    Args:
        sources: by the names of the metrics that a job asks for.

    Attributes:
        folders: of event files whose writers are heard, so that the files are not read.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        from threading import RLock

        self.folders: set[str] = set()
        self._sources = dict(sources)
        self._lock = RLock()  # a library may log in a thread, and a report may log
        self._busy = self._told = False
        self._trial: tuple[int, int] = (0, 0)
        self._others: dict[str, float] = {}
        self._steps: dict[str, int] = {}

    def take(self, source: str, values: Mapping[Any, Any], step: Any = None, place: str = "") -> None:
        """Take what a program has logged; the program goes on whatever becomes of it here.

        Args:
            source: the library's name.
            values: by name; what is no number is left out.
            step: the program's own; None where it has none.
            place: the name of the part of the program that logs, which may precede a metric's name: ``place/metric``.
        """
        with self._lock:
            if self._busy:
                return
            self._busy = True
            try:
                self._take(source, dict(numbers_in(values)), step, place)
            except Exception as error:  # noqa: BLE001  # it is the program's process
                self._tell(f"a metric was not reported: {type(error).__name__}: {error}")
            finally:
                self._busy = False

    def _take(self, source: str, numbers: dict[str, float], step: Any, place: str) -> None:
        trial = _helper()
        now = os.getpid(), id(trial.current())
        if now != self._trial:  # the next trial of a worker, or a fork
            self._trial, self._others, self._steps = now, {}, {}
        if place:
            own = {name: f"{place}/{name}" for name in numbers if f"{place}/{name}" in self._sources}
            numbers = {own.get(name, name): value for name, value in numbers.items()}
        asked = [name for name in numbers if self._sources.get(name) == source]
        if not asked:
            self._others.update(numbers)
            for name in list(self._others)[: max(0, len(self._others) - _MOST)]:
                del self._others[name]
            return
        last = max((self._steps[name] for name in asked if name in self._steps), default=None)
        self._report({**self._others, **numbers}, _step_after(last, step), asked)

    def _report(self, numbers: dict[str, float], step: int, asked: list[str]) -> None:
        trial = _helper()
        self._others = {}
        self._steps.update(dict.fromkeys(asked, step))
        if trial.current().sink is trial._print:  # noqa: SLF001  # a service reads the output
            from ..printed_metrics import HEARD  # noqa: TID252  # whatever this package is called

            if trial._rank() == 0:  # noqa: SLF001
                said = " ".join(f"{name}={value!r}" for name, value in numbers.items())
                print(f"\nstep {step}: {HEARD} {said}", flush=True)  # a progress bar may stand in the line
        else:
            trial.report(numbers, step=step)

    def finish(self) -> None:
        """Report what was heard behind the last report."""
        with self._lock:
            try:
                if self._others and self._trial == (os.getpid(), id(_helper().current())):
                    self._report(dict(self._others), max(self._steps.values(), default=1), [])
            except Exception as error:  # noqa: BLE001  # it is the program's process
                self._tell(f"metrics were not reported: {type(error).__name__}: {error}")

    def _tell(self, text: str) -> None:
        if not self._told:
            self._told = True
            print(f"cloudtune: {text}", file=sys.stderr, flush=True)


def _step_after(last: int | None, step: Any) -> int:
    """Return the step of a report: the program's own where it grows, else the next one."""
    try:
        own = None if step is None else int(step)
    except (TypeError, ValueError, OverflowError):
        own = None
    if own is not None and own >= 0 and (last is None or own > last):
        return own
    return 1 if last is None else last + 1


def _helper() -> Any:
    """Return ``cloudtune.trial``, or the copy of it that travels, where the program's Python lacks cloudtune."""
    if "cloudtune.trial" in sys.modules:
        return sys.modules["cloudtune.trial"]
    copy = sys.modules[__name__.rpartition(".")[0].rpartition(".")[0]]
    if "cloudtune" in sys.modules or _can_import():
        from importlib import import_module

        return import_module("cloudtune.trial")
    return copy


def _can_import() -> bool:
    from importlib.util import find_spec

    return find_spec("cloudtune") is not None
