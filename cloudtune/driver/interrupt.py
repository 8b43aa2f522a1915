"""Interrupts of a driver by signals, and pauses that end early."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_LOOK_UP = 0.1
"""Seconds between two evaluations of a condition during a pause."""

_SIGNALS = {
    getattr(signal, name): why
    for name, why in (
        ("SIGINT", "by Ctrl-C"),
        ("SIGTERM", "by SIGTERM"),
        ("SIGHUP", "since its terminal was closed (SIGHUP)"),
        ("SIGBREAK", "by Ctrl-Break, or since its terminal was closed"),
    )
    if hasattr(signal, name)
}
"""The signals that interrupt a driver, and the words for each in the run's reason; Windows has SIGBREAK for SIGHUP."""

Condition = Callable[[], bool]


@dataclass(slots=True)
class Interrupt:
    """How urgently a driver has to stop.

    Attributes:
        level: 0: not at all; 1: launch no more trials; 2: end the running trials as well.
        why: what asked for it, for the run's reason.
    """

    level: int = 0
    why: str = ""

    def request(self, level: int, why: str) -> None:
        """Raise the level to at least this one; keep the reason of the first request."""
        self.level, self.why = max(self.level, level), self.why or why


UNFINISHED = 75
"""The exit code of a driver that was asked to leave its run unfinished (EX_TEMPFAIL of sysexits.h), not 1 as after an error."""


def leave_at_once(_number: int, _frame: object) -> None:
    """End this process; the handler for a driver whose every decision is kept elsewhere, and whose trials go on without it."""
    os._exit(UNFINISHED)


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Turn signals into an interrupt: Ctrl-C requests level 1, and 2 once more; SIGTERM and SIGHUP request level 2.

    Signals reach the main thread alone: in another thread the interrupt stays at level 0. A signal that is ignored when
    the context begins (as by ``nohup``) stays ignored, and one that `leave_at_once` handles stays with it.
    """
    interrupt = Interrupt()

    def on_signal(number: int, _frame: object) -> None:
        level = min(interrupt.level + 1, 2) if number == signal.SIGINT else 2
        interrupt.request(level, _SIGNALS[signal.Signals(number)])

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    handled = [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, leave_at_once)]
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pause(seconds: float, leave: Condition) -> bool:
    """Sleep until the time is over or the condition holds; return whether it holds."""
    until = time.monotonic() + seconds
    while not leave():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _LOOK_UP))
    return True
