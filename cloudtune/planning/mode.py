"""Which mode a job has on a service that has a tuner of its own, and why."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal

from cloudtune.planning.plan import Ledger, Support
from cloudtune.space.space_codec import EncodedDimension, SpaceCodec
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian

_COST, _REQUIRE = "objective.cost", "require"
_OWN_SUPPORT = {
    _COST: (Support.DRIVEN, "the service does not know what a trial costs: cloudtune's driver reports it"),
    _REQUIRE: (
        Support.DRIVEN,
        "the service's tuner would try combinations that are not allowed: cloudtune's driver asks",
    ),
}
"""Rows for what no service's tuner can do, beside those of the provider's table."""

Reason = tuple[str, str]
"""A path of the spec, and the row of the provider's table of support that says why it needs the driver."""


class Mode:
    """The choice between the service's own tuner and cloudtune's driver.

    Args:
        job: the spec.
        support: the provider's table; see `Provider.support`.
        reasons: yields what in the job the service's tuner cannot do; called once, and only if that decides something.
    """

    def __init__(
        self, job: TuningJob, support: Mapping[str, tuple[Support, str]], reasons: Callable[[], Iterable[Reason]]
    ) -> None:
        self._job = job
        self._support = {**_OWN_SUPPORT, **support}
        self._find_reasons = reasons

    @cached_property
    def _reasons(self) -> list[Reason]:
        at = self._job.cost_place
        confirmed = [] if self._job.confirm is None else [("confirm", "confirm")]
        require = [(_REQUIRE, _REQUIRE)] if self._job.require else []
        return [*self._find_reasons(), *require, *([] if at is None else [(at, _COST)]), *confirmed]

    @cached_property
    def driven(self) -> bool:
        """Whether the job is driven: because it says so, or because nothing else can do it."""
        return self._job.mode == "driven" or (self._job.mode == "auto" and bool(self._reasons))

    @property
    def name(self) -> Literal["driven", "managed"]:
        """What a plan calls the mode."""
        return "driven" if self.driven else "managed"

    def note_why_driven(self, ledger: Ledger) -> None:
        """Note what makes the job a driven one; nothing where the job itself says so."""
        if self._job.mode == "auto":
            for path, row in self._reasons:
                ledger.note(path, Support.DRIVEN, self._support[row][1])

    def note_unsupported(self, ledger: Ledger) -> None:
        """Note what the service's tuner cannot do, as unsupported, for a request to that tuner."""
        for path, row in self._reasons:
            message = f"{self._support[row][1].partition(':')[0]}; take mode: managed away"
            ledger.note(path, Support.UNSUPPORTED, message)


# What most tuners of services cannot do


def strategy_reasons(job: TuningJob, strategies: tuple[type, ...]) -> Iterator[Reason]:
    """Yield a strategy that is none of a tuner's, or the setting of one that no service's tuner has.

    Args:
        job: the spec.
        strategies: classes of the tuner's strategies.
    """
    if not isinstance(job.strategy, strategies):
        yield "strategy", "strategy.driven"
    elif isinstance(job.strategy, Bayesian) and job.strategy.startup is not None:
        yield "strategy.startup", "strategy.driven"


def constraint_reasons(job: TuningJob) -> Iterator[Reason]:
    """Yield the constraints, which most services' tuners do not know."""
    if job.constraints:
        yield "constraints", "constraints"


def course_reasons(job: TuningJob, rules: tuple[type, ...]) -> Iterator[Reason]:
    """Yield a stopping rule that is none of a tuner's, attempts after failures, and trials to begin with.

    Args:
        job: the spec.
        rules: classes of the tuner's stopping rules.
    """
    if job.stopping is not None and not isinstance(job.stopping, rules):
        yield "stopping", "stopping"
    if job.retries:
        yield "retries", "retries"
    if job.first:
        yield "first", "first"


def plain_space_reasons(
    job: TuningJob, codec: SpaceCodec, is_plain: Callable[[EncodedDimension], bool]
) -> Iterator[Reason]:
    """Yield the parameters that a program which reads the service's values itself would see in another form.

    Args:
        job: the spec.
        codec: of its space.
        is_plain: whether a parameter travels as it stands, but for the form of a number or a text.
    """
    for name in job.space:
        own = [encoded for encoded in codec.encoded_dimensions if encoded.dimension.name == name]
        if len(own) > 1 or codec.masked(own[0]) or not is_plain(own[0]):
            yield f"space.{name}", "space.driven"
