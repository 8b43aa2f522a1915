"""What machines cost that are kept between trials, for the next one."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from cloudtune.costs.meter import Meter, with_charge
from cloudtune.store.records import Charge, Trial


class KeptMachines:
    """The machines that wait for a trial. A trial pays for its machines until the next one takes them.

    Machines that are kept for a time are charged for all of it as soon as their trial ends, and for what it was when
    another trial takes them, or the run gives them back. Those that stay until the run ends are charged once that is so.

    Args:
        meter: of the run.
        now: the clock, in seconds.
    """

    def __init__(self, meter: Meter, now: Callable[[], float] = time.time) -> None:
        self._meter = meter
        self._now = now
        self._waiting: list[tuple[float, Trial, Charge]] = []

    def add(self, trial: Trial, charge: Charge) -> None:
        """Add the machines of a trial that has ended."""
        if self._meter.kept(charge.machine):
            self._waiting.append((self._now(), trial, charge))

    def take(self, machine: str = "") -> tuple[Trial, Charge, Charge] | None:
        """Give the machines that have waited longest to a trial that starts.

        Args:
            machine: the one that the trial has; "" where that is not said.

        Returns:
            The trial that they are from, its charge before, and now; None if none wait, or they are gone.
        """
        while (first := self._first(machine)) is not None:
            since, trial, charge = self._waiting.pop(first)
            waited = max(self._now() - since, 0.0)
            if waited <= self._meter.kept(charge.machine):
                return self._charged(trial, charge, waited)
        return None

    def _first(self, machine: str) -> int | None:
        places = (place for place, (_, _, charge) in enumerate(self._waiting) if machine in ("", charge.machine))
        return next(places, None)

    def let_go(self) -> Iterator[tuple[Trial, Charge, Charge]]:
        """Give back the machines that still wait; yield the trials that they are from, with their charges before, and now."""
        waiting, self._waiting = self._waiting, []
        for since, trial, charge in waiting:
            waited = max(self._now() - since, 0.0)
            if waited <= self._meter.kept(charge.machine):
                yield self._charged(trial, charge, waited)

    def _charged(self, trial: Trial, charge: Charge, kept: float) -> tuple[Trial, Charge, Charge]:
        machine = charge.machine if self._meter.amount(0.0, charge.machine) is not None else ""
        anew = replace(self._meter.charge(charge.attempt, charge.seconds, machine, kept), machine=charge.machine)
        with_charge(trial, anew)
        return trial, charge, anew
