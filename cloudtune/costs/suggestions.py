"""What the service of a strategy charges for suggestions: by ``suggestion`` of ``[prices.STRATEGY]``, else not known."""

from dataclasses import dataclass
from decimal import Decimal

from cloudtune.machines.own_prices import PriceTables
from cloudtune.spec.job import TuningJob
from cloudtune.spec.money import format_money


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The suggestions of a run.

    Attributes:
        strategy: its type.
        count: how many there are at most; None without a bound.
        price: of one; None if it is not known.
        currency: of the price.
    """

    strategy: str
    count: int | None
    price: Decimal | None
    currency: str

    @property
    def most(self) -> Decimal | None:
        """What they cost at most; None if that is not known."""
        return None if self.count is None or self.price is None else self.count * self.price

    def __str__(self) -> str:
        many = f"at most {self.count:,} suggestions" if self.count is not None else "suggestions without a bound"
        if self.price is None:
            return f"{many} of {self.strategy} at a price that is not known ([prices.{self.strategy}] suggestion = …)"
        most = "" if self.most is None else f", at most {format_money(self.most, self.currency)}"
        return f"{many} of {self.strategy} at {format_money(self.price, self.currency)} each{most}"


def suggestions_of(job: TuningJob, prices: PriceTables) -> Suggestions | None:
    """Return the suggestions that a service charges a job for; None where its strategy asks none that does.

    Trials that the job gives itself are not suggested. Where the space has requirements, more may be: what does not meet
    them is asked for again.
    """
    if not job.strategy.charges:
        return None
    trials = None if job.require else job.search_trials
    own = prices.of([job.strategy.type])
    count = None if trials is None else max(0, trials - len(job.first))
    return Suggestions(job.strategy.type, count, own.suggestion, own.currency)
