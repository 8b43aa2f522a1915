"""Callbacks of training frameworks that report to cloudtune, one module a framework: ``from cloudtune.trial.callbacks.keras import TuneCallback``.

Each module has a class `TuneCallback` and needs its framework, and nothing else of cloudtune: it travels with the trial.
Outside of a trial the callbacks do nothing. A trial that is pruned is sent SIGTERM: the callbacks end the training in the
framework's way then, where it has one, so that its other callbacks save and close what they hold; what does not end in the time that the
provider grants is killed.
"""

# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Chosen = Mapping[str, str] | Sequence[str] | None
    """Which metrics are reported: the framework's names by those of the job, or names alone; None for all."""


def missing(framework: str, package: str) -> ImportError:
    """Return the error of a framework that is not installed.

    Args:
        framework: its name, for people.
        package: what pip installs.
    """
    return ImportError(f"the callback for {framework} needs {framework}; install it with: pip install {package}")


class Reporter:
    """Reports the metrics of a framework, and knows whether the trial is asked to end.

    Args:
        metrics: see `Chosen`.

    Raises:
        TypeError: it is a text.
    """

    def __init__(self, metrics: Chosen = None) -> None:
        if isinstance(metrics, str):
            raise TypeError(f"metrics are a list of names, or the framework's names by the job's; write [{metrics!r}]")
        pairs = metrics.items() if hasattr(metrics, "items") else [(name, name) for name in metrics or ()]  # type: ignore[union-attr]
        self._names: dict[str, str] | None = None if metrics is None else dict(pairs)
        self._previous: Any = None
        self.stopping = False

    def report(self, values: Mapping[str, Any], step: int) -> None:
        """Report those of the values that are asked for and are numbers; nothing outside of a trial.

        Args:
            values: by the framework's names.
            step: the epoch or iteration, from 1.
        """
        import cloudtune.trial as trial
        from cloudtune.trial.hearing.metrics import numbers_in

        if not trial.active():
            return
        found = dict(numbers_in(values))
        if self._names is not None:
            found = {ours: found[theirs] for ours, theirs in self._names.items() if theirs in found}
        if found:
            trial.report(found, step=step)

    def watch(self) -> None:
        """Take SIGTERM for a request to end, until `unwatch`; in the main thread of a trial."""
        import signal
        import threading

        import cloudtune.trial as trial

        if self._previous is None and trial.active() and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._asked)

    def _asked(self, number: int, frame: object) -> None:
        self.stopping = True
        if callable(self._previous):
            self._previous(number, frame)

    def unwatch(self) -> None:
        """Handle SIGTERM as before."""
        import signal

        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None


def checkpoint_path(name: str) -> str:
    """Return the path of a file in the trial's folder of checkpoints; "" outside of a trial."""
    import os

    import cloudtune.trial as trial

    return os.path.join(trial.checkpoint_dir(), name) if trial.active() else ""  # noqa: PTH118


def kept_checkpoint(name: str) -> str | None:
    """Return the path of a file that an earlier attempt left in the trial's folder of checkpoints; None where there is none."""
    import os

    path = checkpoint_path(name)
    return path if path and os.path.exists(path) else None  # noqa: PTH110


def replace_with(path: str, write: Any) -> None:
    """Write a checkpoint under another name, and give it its own once it is whole.

    Args:
        path: of the checkpoint.
        write: called with the path to write to, whose ending is that of `path`.
    """
    import os

    folder, name = os.path.split(path)
    fresh = os.path.join(folder, f"new-{name}")  # noqa: PTH118
    write(fresh)
    os.replace(fresh, path)  # noqa: PTH105
