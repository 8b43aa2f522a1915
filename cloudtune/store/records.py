"""The states and records of runs and trials, one set for all providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from cloudtune.space.space import Values


class RunState(StrEnum):
    """The state of a run. Every provider maps each state of its service to one of these."""

    WAITING = "waiting"
    """Created, but not started."""
    RUNNING = "running"
    """Trials are being launched."""
    STOPPING = "stopping"
    """No more trials are launched; running trials are awaited."""
    INTERRUPTED = "interrupted"
    """Stopped before its end, or its driver process is gone; `resume` continues it."""
    COMPLETED = "completed"
    """Ended as its limits or its strategy say."""
    FAILED = "failed"
    """Ended because too many trials failed, or because none succeeded."""
    CANCELLED = "cancelled"
    """Ended by a user's cancel."""

    @property
    def ended(self) -> bool:
        """Whether the run is over for good: a resume does not continue it."""
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


class TrialState(StrEnum):
    """The state of a trial."""

    WAITING = "waiting"
    """Its parameters are decided; it has not started, waits for another attempt, or, launched, for room at its place."""
    RUNNING = "running"
    """Its program runs."""
    PAUSED = "paused"
    """Stopped at a rung of its stopping rule with its checkpoint, and goes on from there if it is among the best."""
    COMPLETED = "completed"
    """Ended well, with a finite value for every objective."""
    PRUNED = "pruned"
    """Stopped early by the stopping rule; its reports are kept."""
    FAILED = "failed"
    """Its program failed, exceeded its time or memory, or gave no usable objective; `reason` says which."""
    CANCELLED = "cancelled"
    """Ended with its run, by a limit or a user, before it was done; `reason` says which."""

    @property
    def ended(self) -> bool:
        """Whether the trial is over."""
        return self not in (TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED)


FIRST = "first"
"""Origin of a trial that the job gives, or a table without its result; see `Trial.origin`."""

TRIED = "tried"
"""Origin of a trial that a user enqueued while the run went on, or before a resume."""

QUEUED = "waits for "
"""Prefix of the reason of a launched trial that waits for room at its place."""

_CHILD = "parent:"
"""Prefix of the origin of a trial that begins with another's checkpoint."""


def child_of(parent: int | None) -> str:
    """Return the origin of a trial of the strategy; see `Trial.origin`.

    Args:
        parent: the number of the trial from whose checkpoint it begins; None for none.
    """
    return "" if parent is None else f"{_CHILD}{parent}"


CREATING = "creating"
"""Key of a run's notes: its tuning job is being made at the service, whose answer has not come."""

ELSEWHERE = "driver"
"""Key of a run's notes: the profile that its driver job runs on, where the driver is a job; see `cloudtune.remote`."""

DRIVER_CHARGES = "driver_charges"
"""Key of a run's notes: what the machines of its drivers cost that were jobs of their own; see `cloudtune.store.rows`."""

WRITTEN = "written"
"""Key of a run's notes: the job as it was written, as JSON, where `RunRecord.job` is what it became on the run's service."""

RUN_AGAIN = "is run again for its user"
"""The beginning of the event of a trial without a result that a user has had run again."""

EXTENSIONS = "extensions"
"""Key of a run's notes: a JSON list with, for each time its limits were changed: ``time`` (seconds since 1970), ``trials`` (how many
there were by then) and ``before`` (the limits until then, as the job has them). Suggestions before it were made with those."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt of a trial used, and what that costs.

    Attributes:
        attempt: which start of the trial, from 1.
        machine: the machine type, or what takes its place.
        machines: number of machines.
        seconds: the time that is billed for each of them.
        amount: in `currency`; None where the price is not known.
        currency: an ISO 4217 code; "" without a price.
        kept: seconds for which its machines were kept for the next trial after it, which are billed, too.
    """

    attempt: int
    machine: str
    machines: int
    seconds: float
    amount: Decimal | None = None
    currency: str = ""
    kept: float = 0.0

    @property
    def used(self) -> Decimal | None:
        """What the attempt itself costs, without the time for which its machines were kept; None where that is not known."""
        if self.amount is None or not self.kept:
            return self.amount
        return self.amount * Decimal(repr(self.seconds)) / Decimal(repr(self.seconds + self.kept))


@dataclass(slots=True)
class Trial:
    """One trial.

    Attributes:
        number: from 0, in the order in which the strategy suggested them.
        parameters: the values by name, without those that do not exist under its conditions.
        state: see `TrialState`.
        metrics: the final value of every metric that it reported.
        reason: why it is in its state, where that needs an explanation; else "".
        attempt: number of starts so far; 0 before the first.
        started: seconds since 1970 of its last start; None before.
        ended: seconds since 1970; None before.
        place: the provider's name for it: a folder, a training job's name; "" where it has none.
        charges: one for each attempt that has ended, where the run's machines are known.
        origin: "" for the strategy, ``parent:NUMBER`` where it begins with that trial's checkpoint; else `FIRST` or `TRIED`: who
            chose its values, some or all of them.
        asked: when it was suggested, as a place in the order of what the run's search was asked and told, from 1; None
            where the search is not cloudtune's, and in runs of earlier versions. By this order a run is replayed.
        told: when the search was told how it ended, as a place in the same order; None before.
        repeat_of: the number of the trial that it runs again with another seed; None for a trial of the search.
    """

    number: int
    parameters: Values
    state: TrialState = TrialState.WAITING
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    attempt: int = 0
    started: float | None = None
    ended: float | None = None
    place: str = ""
    charges: tuple[Charge, ...] = ()
    origin: str = ""
    asked: int | None = field(default=None, compare=False)
    told: int | None = field(default=None, compare=False)
    repeat_of: int | None = None

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the trial: state, metrics, parameters, time and cost."""
        from cloudtune.spec.money import format_money  # noqa: PLC0415  # only notebooks need it
        from cloudtune.spec.units import brief_duration  # noqa: PLC0415
        from cloudtune.store.cards import card, value_rows  # noqa: PLC0415

        rows = [
            ("state", f"{self.state.value}: {self.reason}" if self.reason else self.state.value),
            *value_rows(self.metrics),
            *value_rows(self.parameters),
            ("repeats", "" if self.repeat_of is None else f"trial {self.repeat_of} with another seed"),
            ("begins", "" if self.parent is None else f"with the checkpoint of trial {self.parent}"),
            ("attempts", str(self.attempt) if self.attempt > 1 else ""),
            ("took", brief_duration(self.duration)),
            ("cost", "" if self.cost is None else format_money(self.cost, self.charges[0].currency)),
        ]
        return card(f"Trial {self.number}", rows)

    @property
    def queued(self) -> bool:
        """Whether it was launched, and waits for room at its place, as its reason says."""
        return self.state is TrialState.WAITING and self.reason.startswith(QUEUED)

    @property
    def awaited(self) -> str:
        """What it waits for, as `cloudtune.driver.launcher.Queued` says it, where it is `queued`; else ""."""
        return self.reason.removeprefix(QUEUED) if self.queued else ""

    @property
    def launched(self) -> bool:
        """Whether an attempt at it runs, or waits for room at its place."""
        return self.state is TrialState.RUNNING or self.queued

    @property
    def parent(self) -> int | None:
        """The number of the trial from whose checkpoint this one begins; None for none."""
        number = self.origin.removeprefix(_CHILD)
        return int(number) if number != self.origin and number.isdecimal() else None

    @property
    def cost(self) -> Decimal | None:
        """What its ended attempts cost together; None before the first has ended, and where a price is not known."""
        amounts = [charge.amount for charge in self.charges]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None

    @property
    def duration(self) -> float | None:
        """Seconds from its last start to its end; None until it has ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started


@dataclass(frozen=True, slots=True)
class Report:
    """The metrics that a trial reported at one moment.

    Attributes:
        number: the trial.
        attempt: which start of the trial, from 1.
        step: the trial's own count (epoch, fold), or the number of the report, from 1.
        time: seconds since 1970.
        metrics: names and values; a value may be nan or infinite.
        moment: when the search took it in, as a place in the order of `Trial.asked`; 0 where that is not known.
    """

    number: int
    attempt: int
    step: int
    time: float
    metrics: Mapping[str, float]
    moment: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The store's record of a run.

    Attributes:
        id: unique in the store.
        name: the job's name.
        provider: the provider's name.
        profile: the profile of the config that it was launched with.
        job: the spec as JSON, without the values of environment variables, in the words of the run's service; as it was
            written in those of another, it is among the notes (`WRITTEN`).
        plan: the plan as JSON.
        state: see `RunState`.
        reason: why it is in its state.
        created: seconds since 1970.
        started: seconds since 1970; None before.
        ended: seconds since 1970; None before.
        elapsed: seconds that a driver process has driven it, over all its resumes.
        native: the provider's own notes, e.g. the service's name of the job.
        emulators: the emulators that it runs in instead of services, by the provider's name (the profile's, where a run
            has several profiles); see `cloudtune.driver.listeners.Listener`. Empty for a run on real services.
        seen: seconds since 1970 of the service's last answer about it; None where no service was asked.
    """

    id: str
    name: str
    provider: str
    profile: str
    job: str
    plan: str
    state: RunState = RunState.WAITING
    reason: str = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    elapsed: float = 0.0
    native: Mapping[str, str] = field(default_factory=dict)
    emulators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seen: float | None = None

    @property
    def emulated(self) -> bool:
        """Whether the run, or a part of it, runs in an emulator."""
        return bool(self.emulators)

    @property
    def where(self) -> str:
        """The profile, and whether it is emulated: ``aws (emulated)``, ``aws,laptop (aws emulated)``."""
        if not self.emulators:
            return self.profile
        which = "" if self.provider in self.emulators else f"{', '.join(self.emulators)} "
        return f"{self.profile} ({which}emulated)"
