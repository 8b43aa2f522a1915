"""Count what the attempts of a run use, and what that costs."""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

from cloudtune.planning.plan import Machines
from cloudtune.planning.rates import Rate
from cloudtune.store.records import Charge, Trial


class Meter:
    """Turns time on machines into money, at the prices that were known when the run was planned.

    Args:
        machines: of one trial.
        rates: of the machines that a trial may get, all in one currency. Where it is not said which one a trial got, the
            dearest counts.
    """

    def __init__(self, machines: Machines, rates: Sequence[Rate]) -> None:
        self._machines = machines
        self._rates = {rate.machine: rate for rate in rates}
        self._dearest = max(rates, key=lambda rate: rate.per_hour, default=None)

    @property
    def currency(self) -> str:
        """The currency of the prices; "" where none is known."""
        return "" if self._dearest is None else self._dearest.currency

    @property
    def known(self) -> bool:
        """Whether the price of a trial is known."""
        return self._dearest is not None

    def amount(self, seconds: float, machine: str = "") -> Decimal | None:
        """Return what a trial costs that runs so long; None where the price is not known.

        Args:
            seconds: that are billed for each of its machines.
            machine: the one that it got; "" where that is not said.
        """
        rate = self._rate(machine)
        return None if rate is None else rate.amount(seconds, rate.count or self._machines.count)

    def most(self, seconds: float) -> Decimal:
        """Return what a trial costs at most that runs so long, whichever machine it gets, with the time after it.

        That is 0 where no price is known.
        """
        amounts = (self.amount(seconds + self.tail(machine), machine) for machine in self._rates)
        return max((amount for amount in amounts if amount is not None), default=Decimal(0))

    @property
    def keeps(self) -> bool:
        """Whether the machines of any trial are kept after it."""
        return bool(self._machines.kept) or any(rate.kept for rate in self._rates.values())

    def kept(self, machine: str = "") -> float:
        """Return the seconds for which machines are kept, and billed, after a trial; inf for those that stay until the run ends."""
        rate = self._rate(machine)
        return self._machines.kept if rate is None or rate.kept is None else rate.kept

    def tail(self, machine: str = "") -> float:
        """Return the seconds for which machines are paid after the last trial on them, whatever is done."""
        kept = self.kept(machine)
        return kept if math.isfinite(kept) else 0.0

    def charge(self, attempt: int, seconds: float, machine: str = "", kept: float = 0.0) -> Charge:
        """Return the charge of an attempt that has ended.

        Args:
            attempt: which start of the trial.
            seconds: that are billed for each of its machines; a clock that was set back makes none negative.
            machine: the one that it got; "" where that is not said.
            kept: seconds for which its machines were kept after it.
        """
        used, rate = max(seconds, 0.0), self._rate(machine)
        if rate is None:
            return Charge(attempt, machine or self._machines.kind, self._machines.count, used, kept=kept)
        count = rate.count or self._machines.count
        amount = rate.amount(used + kept, count)
        return Charge(attempt, machine or self._machines.kind, count, used, amount, self.currency, kept)

    def _rate(self, machine: str) -> Rate | None:
        return self._rates.get(machine) if machine else self._dearest


def with_charge(trial: Trial, charge: Charge) -> None:
    """Add a charge to a trial; one of the same attempt is replaced, since it was read again."""
    others = [each for each in trial.charges if each.attempt != charge.attempt] if trial.charges else ()
    trial.charges = (*others, charge)


def total(trials: Iterable[Trial]) -> Decimal | None:
    """Return what the ended attempts of trials cost together; None where a price is not known, or nothing was charged."""
    amounts = [charge.amount for trial in trials for charge in trial.charges]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None
