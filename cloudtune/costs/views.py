"""What a run has cost, for those who show it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from cloudtune.spec.money import cost_text, format_money
from cloudtune.store.rows import driver_charges

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import Charge, RunRecord, Trial


@dataclass(frozen=True, slots=True)
class RunCost:
    """What the ended attempts of a run's trials have cost, and its driver where that was a job of its own.

    Attributes:
        spent: as far as prices are known.
        currency: an ISO 4217 code.
        limit: the job's budget; None for none.
        complete: whether the price of every attempt is known.
        driver: the part of it that a driver cost which was a job of its own.
    """

    spent: Decimal
    currency: str
    limit: Decimal | None
    complete: bool
    driver: Decimal = Decimal(0)

    def __str__(self) -> str:
        said = cost_text(self.spent, self.limit, self.currency)
        said += f", {format_money(self.driver, self.currency)} of it for the driver" if self.driver else ""
        return said if self.complete else f"at least {said}, since not all prices are known"

    def to_data(self) -> "dict[str, JsonValue]":
        """Return it as plain data for JSON; amounts are texts, since JSON has no decimal numbers."""
        return {
            "spent": str(self.spent),
            "currency": self.currency,
            "limit": None if self.limit is None else str(self.limit),
            "complete": self.complete,
            **({"driver": str(self.driver)} if self.driver else {}),
        }


def run_cost(record: "RunRecord", trials: "Sequence[Trial]", job: "TuningJob") -> RunCost | None:
    """Return what a run has cost; None where nothing was charged, or no price is known.

    Args:
        record: of the run, which says what its driver cost where that was a job of its own.
        trials: of the run.
        job: the spec.
    """
    return cost_of(record, (charge for trial in trials for charge in trial.charges), job)


def cost_of(record: "RunRecord", charges: "Iterable[Charge]", job: "TuningJob") -> RunCost | None:
    """Return what a run has cost, as `run_cost` does, by the charges of its trials."""
    driver = driver_charges(record)
    charges = [*charges, *driver]
    known = [charge for charge in charges if charge.amount is not None]
    if not known:
        return None
    limit = None if job.limits.cost is None else job.limits.cost.amount
    return RunCost(_sum(known), known[0].currency, limit, len(known) == len(charges), _sum(driver))


def _sum(charges: "Sequence[Charge]") -> Decimal:
    return sum((charge.amount for charge in charges if charge.amount is not None), Decimal(0))


def trial_cost(trial: "Trial") -> str:
    """Return what a trial has cost, for people; "" where that is not known."""
    return "" if trial.cost is None else format_money(trial.cost, trial.charges[0].currency)


def trial_charge(trial: "Trial") -> tuple[float, str] | None:
    """Return what a trial has cost as a number, and the currency, for other tools; None where that is not known."""
    return None if trial.cost is None else (float(trial.cost), trial.charges[0].currency)


def currency_of(trials: "Sequence[Trial]") -> str:
    """Return the currency of the charges; "" where no price is known."""
    return next((charge.currency for trial in trials for charge in trial.charges if charge.currency), "")
