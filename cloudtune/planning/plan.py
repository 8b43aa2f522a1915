"""Plan what a provider does with each field of a job; no field is dropped silently."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, JsonValue

from cloudtune.errors import Problem, UnsupportedError, suggest
from cloudtune.planning.missing import Missing, lines_to_add
from cloudtune.planning.rates import Rate
from cloudtune.plugins.entry_points import aliases, formats, providers
from cloudtune.spec.job import TuningJob, per_provider, regex_paths
from cloudtune.spec.native import FIELD, native_path
from cloudtune.trial import data_variable

CHOSEN = "strategy.type"
"""The field whose note says which strategy was chosen, and why, where the job leaves that to cloudtune."""


class Support(StrEnum):
    """How well a provider carries a field, from best to worst."""

    EXACT = "exact"
    """The service's own field means the same, and the value was checked as far as its kind allows."""
    UNCHECKED = "unchecked"
    """Passed on as it stands: whether the service has such a value is unknown here; the note says what was checked."""
    ENCODED = "encoded"
    """Sent through a codec: the script gets exactly the same values, the optimizer searches a transformed axis."""
    APPROXIMATE = "approximate"
    """Similar, and the note says how it differs."""
    WATCHED = "watched"
    """Enforced by a client that watches the run."""
    DRIVEN = "driven"
    """The service cannot do it: cloudtune's own driver does, and each trial is one plain job of the service."""
    UNSUPPORTED = "unsupported"
    """Refused; the note says what to change."""

    @property
    def rank(self) -> int:
        """0 for exact, higher for worse."""
        return list(Support).index(self)


TOLD_BY_FOLLOWER = "the process that follows the run sends it; without one it is sent when the run is next looked at"
"""What becomes of `notify` where the service runs the job by itself."""


class Beside(StrEnum):
    """Targets of fields that are not in the request, in place of a path into it."""

    DRIVER = "cloudtune:driver"
    """cloudtune's own driver implements it, in driven runs."""
    CODE = "cloudtune:code"
    """It is sent with the code, which the request names as ``${code}``."""
    FOLLOWER = "cloudtune:follower"
    """The process that follows the run does it, in managed and driven runs alike."""
    PLAN = "cloudtune:plan"
    """It decides how the job is planned."""
    DEFAULT = "cloudtune:default"
    """It equals the service's default, so the request leaves it out."""


@dataclass(frozen=True, slots=True)
class Note:
    """How one field, or everything below it, is carried when it is not carried exactly.

    Attributes:
        path: into the spec, e.g. ``limits.failed``; it covers every leaf below it.
        support: see `Support`; never exact.
        message: what happens instead, and for an unsupported field what to change.
        target: its path in the request; "" if it is not there.
    """

    path: str
    support: Support
    message: str
    target: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.support}: {self.message}"


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines of one trial.

    Attributes:
        kind: the machine type, or a word in its place.
        count: number of machines.
        longest: the service's limit on a trial's time where the job has none; None for no limit.
        kept: seconds for which they stay, and are billed, after a trial for the next one; inf for those that stay until
            the run ends, 0 for those that go with their trial.
        others: further types that a trial may get where `kind` has no room, the preferred one first.
    """

    kind: str
    count: int = 1
    longest: timedelta | None = None
    kept: float = 0.0
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The complete native request for a job, and where each leaf of the spec went.

    Attributes:
        provider: the provider's name.
        mode: ``managed`` (the service's tuner) or ``driven`` (cloudtune's own).
        request: the native request as plain data, as it will be sent, without secrets.
        carried: for every leaf that is carried exactly, its path in the request.
        notes: one for every other leaf (or for a part of the spec that contains it).
        machines: of one trial; None where they are not known.
        missing: what the config would have to say for the job to run; each has a note, too.
        rates: of the machines that a trial may get, the likeliest first; empty where no price is known.
        driver: of the machine of a driver that is a job of its own; None where its price is not known, or it runs here.
    """

    provider: str
    mode: str
    request: Mapping[str, JsonValue]
    carried: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    machines: Machines | None = None
    missing: tuple[Missing, ...] = ()
    rates: tuple[Rate, ...] = ()
    driver: Rate | None = None

    def support(self, path: str) -> Support | None:
        """Return how a leaf of the spec is carried; None for one that the plan does not account for."""
        covering = [note for note in self.notes if covers(note.path, path)]
        if covering:
            return max((note.support for note in covering), key=lambda support: support.rank)
        return Support.EXACT if any(covers(carried, path) for carried in self.carried) else None

    def refuse(self, *, strict: bool = False) -> None:
        """Raise UnsupportedError if a note is unsupported, or, when strict, below encoded."""
        worst = Support.ENCODED if strict else Support.DRIVEN
        bad = [note for note in self.notes if note.support.rank > worst.rank]
        if bad:
            why = "strict: " if strict else ""
            problems = [
                Problem(
                    note.path,
                    note.message if note.support is Support.UNSUPPORTED else f"{why}{note.support}: {note.message}",
                )
                for note in bad
            ]
            raise UnsupportedError(self.provider, problems, lines_to_add(self.missing))

    def with_notes(self, notes: Iterable[Note]) -> Self:
        """Return the plan with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_data(self) -> dict[str, JsonValue]:
        """Return the plan as plain data for JSON."""
        return {
            "provider": self.provider,
            "mode": self.mode,
            "machines": None if self.machines is None else _machines_data(self.machines),
            "rates": [rate.to_data() for rate in self.rates],
            **({} if self.driver is None else {"driver": self.driver.to_data()}),
            "request": dict(self.request),
            "carried": dict(self.carried),
            "notes": [
                {
                    "path": note.path,
                    "support": note.support.value,
                    "message": note.message,
                    "target": note.target,
                }
                for note in self.notes
            ],
            **({"missing": [each.to_data() for each in self.missing]} if self.missing else {}),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the plan for data from `to_data`."""
        notes = tuple(
            Note(note["path"], Support(note["support"]), note["message"], note["target"]) for note in data["notes"]
        )
        said = data.get("machines")  # older stores have plans without machines
        longest = None if said is None or said["longest"] is None else timedelta(seconds=said["longest"])
        kept = 0.0 if said is None else float(said.get("kept", 0.0))
        others = () if said is None else tuple(said.get("others", ()))
        machines = None if said is None else Machines(said["kind"], said["count"], longest, kept, others)
        missing = tuple(Missing.from_data(each) for each in data.get("missing", ()))
        rates = tuple(Rate.from_data(each) for each in data.get("rates", ()))
        driver = Rate.from_data(data["driver"]) if "driver" in data else None
        request, carried = data["request"], data["carried"]
        return cls(data["provider"], data["mode"], request, carried, notes, machines, missing, rates, driver)


def _machines_data(machines: Machines) -> dict[str, JsonValue]:
    longest = None if machines.longest is None else machines.longest.total_seconds()
    kept = "inf" if math.isinf(machines.kept) else machines.kept  # JSON has no such number
    others: dict[str, JsonValue] = {"others": list(machines.others)} if machines.others else {}
    return {"kind": machines.kind, "count": machines.count, "longest": longest, "kept": kept, **others}


class Ledger:
    """Records while a provider translates which fields are carried and which are noted."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._carried: dict[str, str] = {}
        self._notes: list[Note] = []

    def carry(self, path: str, target: str) -> None:
        """Record that the field at `path`, with all below it, is in the request at `target` and means the same.

        Where the request does not hold it, the target is a member of `Beside`; the conformance suite refuses others.
        """
        self._carried[path] = target

    def note(self, path: str, support: Support, message: str, target: str = "") -> None:
        """Record that the field at `path`, with all below it, is treated as the message says."""
        self._notes.append(Note(path, support, message, target))

    def carry_if(self, same: bool, path: str, target: str, support: Support, message: str) -> None:
        """Record a field as carried if it is sent unchanged, else as noted."""
        if same:
            self.carry(path, target)
        else:
            self.note(path, support, message, target)

    def judge(self, path: str, verdict: "tuple[Support, str] | None", target: str = "") -> None:
        """Note the verdict on a value that is carried; None adds no note (see `cloudtune.planning.known_values`)."""
        if verdict is not None:
            self.note(path, *verdict, target)

    def carry_per_provider(self, path: str, value: object, target: str) -> None:
        """Carry a setting that may have a value for each provider; note values for other providers as ineffective."""
        if not isinstance(value, Mapping):
            self.carry(path, target)
            return
        self.carry(f"{path}.{self.provider}", target)
        for other in value.keys() - {self.provider}:
            self.note(f"{path}.{other}", *said_for(other))

    def targets(self) -> Iterator[tuple[str, str]]:
        """Yield each path that was carried or noted so far, with its target in the request ("" for none)."""
        yield from self._carried.items()
        yield from ((note.path, note.target) for note in self._notes)

    def note_other_natives(self, job: TuningJob, support: Support, message: str, read: Collection[str] = ()) -> None:
        """Note the native settings of all others but those that are read; those of what is not installed together."""
        others = [name for name in job.native if name != self.provider and name not in read]
        paths = {name: native_path(TuningJob, name) for name in others}
        for path in dict.fromkeys(path if read or path == name else FIELD for name, path in paths.items()):
            self.note(path, support, message)

    def copy_to(self, whole: "Ledger", below: str) -> None:
        """Copy what was recorded of a part of a request into the ledger of the whole.

        Args:
            whole: the other ledger.
            below: the path of the part within its request.
        """
        beside = tuple(Beside)
        for path, target in self._carried.items():
            whole.carry(path, target if target in beside else f"{below}.{target}")
        for note in self._notes:
            whole.note(note.path, note.support, note.message, f"{below}.{note.target}" if note.target else "")

    def note_rest(self, job: TuningJob, table: Mapping[str, tuple[Support, str]]) -> None:
        """Account for each leaf that was neither carried nor noted, by the longest row of a table that covers it.

        A leaf that asks for nothing (false, 0) equals the service's default. A row that is exact accounts for nothing:
        the translation has forgotten that field, and `close` notes it as unsupported.

        Args:
            job: the spec.
            table: a path of the spec → support and a remark; see `Provider.support`.
        """
        for path, value in leaves(job):
            known = self._carried.keys() | {note.path for note in self._notes}
            row = max((each for each in table if covers(each, path)), key=len, default=None)
            if not known.isdisjoint(_parts_with(path)):
                continue
            if not value:
                self.carry(path, Beside.DEFAULT)
            elif row is not None and table[row][0] is not Support.EXACT:
                self.note(row, *table[row])

    def field_at(self, job: TuningJob, target: str) -> str | None:
        """Return the field of the spec that a place in the request came from; None where no field did."""
        said = [path for path, _ in leaves(job)]
        places = [(path, place) for path, place in self.targets() if place]
        for path, place in places:
            if path.startswith(f"{self.provider}.") and covers(place, target):
                native = path + target[len(place) :]
                if found := [leaf for leaf in said if covers(leaf, native) or covers(native, leaf)]:
                    return found[0] if covers(found[0], native) else native
        met = [
            (len(place), path)
            for path, place in places
            if (covers(place, target) or covers(target, place)) and any(covers(path, leaf) for leaf in said)
        ]
        return max(met)[1] if met else None

    def close(
        self, job: TuningJob, mode: str, request: Mapping[str, JsonValue], machines: Machines | None = None
    ) -> Plan:
        """Return the plan; note each leaf that was neither carried nor noted as unsupported."""
        self._refuse_unknown_providers(job)
        self._refuse_one_variable_for_two(job)
        self._try_regexes(job)
        self._account_for_notifications(job, mode)
        known = self._carried.keys() | {note.path for note in self._notes}
        lost = [path for path, _ in leaves(job) if known.isdisjoint(_parts_with(path))]
        for path in lost:
            self.note(path, Support.UNSUPPORTED, f"{self.provider} has no translation for this field; take it away")
        self._note_search(job, mode)  # after the leaves were counted, which it accounts for none of
        return Plan(self.provider, mode, request, self._carried, tuple(self._notes), machines)

    def _account_for_notifications(self, job: TuningJob, mode: str) -> None:
        """Account for `notify`, which is nothing of any provider's, unless the translation has."""
        if not job.notify or any(note.path == "notify" for note in self._notes):
            return
        if mode == "managed":
            self.note("notify", Support.WATCHED, TOLD_BY_FOLLOWER)
        else:
            self.carry("notify", Beside.FOLLOWER)

    def _refuse_unknown_providers(self, job: TuningJob) -> None:
        """Note values for providers that do not exist as unsupported: such a name is a typing error."""
        said = {path: name for path, name in per_provider(job) if name != self.provider}
        if not said:
            return
        for path, name in said.items():
            support, message = said_for(name)
            if support is Support.UNSUPPORTED:
                self._notes = [note for note in self._notes if note.path != path]
                self.note(path, support, message)

    def _refuse_one_variable_for_two(self, job: TuningJob) -> None:
        """Note inputs whose environment variable is that of another input as well."""
        first: dict[str, str] = {}
        for name in job.data:
            variable = data_variable(name)
            other = first.setdefault(variable, name)
            if other != name:
                message = f"the trial finds it by {variable}, and {other!r} as well; give one of them another name"
                self.note(f"data.{name}", Support.UNSUPPORTED, message)

    def _try_regexes(self, job: TuningJob) -> None:
        """Note regexes that would match another number than is printed, or take too long."""
        places = regex_paths(job) | {f"metrics.{name}": regex for name, regex in job.metrics.items()}
        for path, regex in places.items():
            from cloudtune.spec.regex_check import findings  # noqa: PLC0415  # few jobs have a regex

            for finding in findings(regex):
                self.note(path, Support.UNSUPPORTED if finding.fatal else Support.APPROXIMATE, finding.message)

    def _note_search(self, job: TuningJob, mode: str) -> None:
        """Note what bounds with a unit are compared with, and what the strategy does otherwise than the job says."""
        found = [
            Note(f"constraints[{index}].{field}", Support.ENCODED, meaning)
            for index, each in enumerate(job.constraints)
            for field, meaning in each.meanings.items()
        ]
        if mode == "driven":
            found += [Note(path, Support(support), said) for path, support, said in job.strategy.remarks(job)]
        learns = job.strategy.suggesting.on_constraints if job.constraints and mode == "driven" else ""
        if learns:
            found.append(Note("strategy", Support.APPROXIMATE, learns))
        self._notes += [note for note in found if note not in self._notes]


def covers(path: str, leaf: str) -> bool:
    """Return whether a path is that of a leaf or of a part that contains it."""
    return leaf == path or leaf.startswith((path + ".", path + "["))


def _parts_with(leaf: str) -> Iterator[str]:
    """Yield the paths that cover a leaf: its own, and those of the parts that contain it."""
    yield leaf
    for end, char in enumerate(leaf):
        if char in ".[":
            yield leaf[:end]


def leaves(job: TuningJob) -> Iterator[tuple[str, object]]:
    """Yield every leaf of the spec that was given (or differs from its default), with its path and value.

    Paths join keys with dots and give list items in brackets, e.g. ``space.lr.low`` and ``objective[0].goal``.
    Keys are used as they are: a parameter named ``a.b`` gives ``space.a.b.low``.
    """
    return _leaves("", job)


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            part = getattr(value, name)
            if name in value.model_fields_set or name == "type" or part != info.get_default(call_default_factory=True):
                yield from _leaves(f"{path}.{name}" if path else name, part)
    elif isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves(native_path(TuningJob, key) if path == FIELD else f"{path}.{key}", part)
    elif isinstance(value, tuple | list) and value and isinstance(value[0], BaseModel):
        for index, part in enumerate(value):
            yield from _leaves(f"{path}[{index}]", part)
    elif value is not None and value not in ((), {}):
        yield path, value


def said_for(other: str) -> tuple[Support, str]:
    """Return what becomes of a value that a spec gives for another provider: it is refused where there is no such provider.

    Providers are those that are installed, and the formats that a job is written in.
    """
    installed = providers()
    if other in installed or other in formats():
        return Support.APPROXIMATE, f"said for {other}: of no effect here"
    return Support.UNSUPPORTED, f"there is no provider {other!r}; {suggest(other, sorted({*installed, *aliases()}))}"
