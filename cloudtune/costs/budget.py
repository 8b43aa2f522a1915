"""Keep a run within ``limits.cost``: which trials may still start, and when those that run have to end."""

from collections.abc import Callable
from decimal import Decimal

from cloudtune.costs.meter import Meter
from cloudtune.spec.money import Money, cost_text, format_money
from cloudtune.store.records import Charge


class Budget:
    """What a run may spend, what its ended attempts have cost, and what those that run will.

    An attempt is expected to take as long as the longest that has ended, and at first as long as one may. A trial starts
    only if what is spent, what is expected of those that run, and what is expected of it on the dearest machine that it may
    get fit together; one may always run.
    So the limit is exceeded only by attempts that take longer than all before them, and these are ended when it is reached.

    Args:
        limit: of all trials together; None for none, where only what is spent is counted.
        meter: of the run; its prices are known.
        longest: seconds that an attempt may take; None where they are not bounded.
        driver: returns what the run's driver costs by a time, in so many seconds from now.

    Attributes:
        spent: what the ended attempts have cost.
    """

    def __init__(
        self,
        limit: Money | None,
        meter: Meter,
        longest: float | None,
        driver: Callable[[float], Decimal] = lambda _: Decimal(0),
    ) -> None:
        self.limit = None if limit is None else limit.amount
        self.spent = Decimal(0)
        self._driver = driver
        self._meter = meter
        self._longest = longest
        self._seen: float | None = None
        self._running: dict[int, tuple[Callable[[], float], str]] = {}

    def start(self, number: int, used: Callable[[], float], machine: str = "") -> None:
        """Count a trial that starts, or runs already.

        Args:
            number: of the trial.
            used: returns the seconds that are billed for it so far.
            machine: the one that it has; "" for the usual one.
        """
        self._running[number] = used, machine

    def end(self, number: int) -> None:
        """Count a trial as one that runs no more."""
        self._running.pop(number, None)

    def charge(self, charge: Charge) -> None:
        """Count an attempt that has ended."""
        if charge.amount is not None:
            self.spent += charge.amount
            self._seen = max(self._seen or 0.0, charge.seconds)

    def correct(self, before: Charge, after: Charge) -> None:
        """Count another charge of the same attempt in place of one."""
        self.spent += (after.amount or 0) - (before.amount or 0)

    def fits(self, more: int = 0) -> bool:
        """Return whether another trial may start.

        Args:
            more: how many further trials have to fit after it.
        """
        if self.limit is None or not (self._running or self.spent):
            return True
        expected = self._expected
        running = self._driver(expected) + self._of_running(lambda used: max(used, expected))
        return self.spent < self.limit and self.spent + running + (1 + more) * self._meter.most(expected) <= self.limit

    def reached(self, ahead: float = 0.0, *, share: Decimal = Decimal(1)) -> bool:
        """Return whether the limit is reached by what is spent and what the running trials have used.

        Args:
            ahead: seconds that they are counted to run on, until somebody looks again.
            share: the part of the limit that is asked about.
        """
        return self.limit is not None and self.spent + self.in_flight(ahead) + self._driver(ahead) >= share * self.limit

    def in_flight(self, ahead: float = 0.0) -> Decimal:
        """Return what the running trials have used so far, and will within so many seconds."""
        return self._of_running(lambda used: used + ahead)

    def __str__(self) -> str:
        return cost_text(self.spent + self.in_flight() + self._driver(0.0), self.limit, self._meter.currency)

    @property
    def message(self) -> str:
        """Why the run ends."""
        if self.reached() or self._running:
            return f"the budget is spent: {self} (limits.cost)"
        another = format_money(self._meter.most(self._expected), self._meter.currency)
        return f"the budget is spent: {self}, and another trial may cost {another} (limits.cost)"

    @property
    def _expected(self) -> float:
        """Seconds that an attempt is expected to take."""
        bounds = [each for each in (self._seen, self._longest) if each is not None]
        return min(bounds, default=0.0)

    def _of_running(self, until: Callable[[float], float]) -> Decimal:
        """Return what the running trials cost by a time, which follows from what each has used so far, in seconds."""
        amounts = (
            self._meter.amount(max(until(used()), 0.0) + self._meter.tail(machine), machine)
            for used, machine in self._running.values()
        )
        return sum((amount for amount in amounts if amount is not None), Decimal(0))
