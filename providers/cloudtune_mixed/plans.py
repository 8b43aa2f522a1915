"""One plan for several profiles: a trial may run on any of them, so the worst support of a field counts."""

import re
from collections.abc import Mapping
from typing import Any

from cloudtune.planning.plan import Beside, Machines, Note, Plan, Support
from cloudtune.spec.job import TuningJob
from cloudtune.spec.native import own_keys
from cloudtune_mixed.prices import notes_on_prices, rates_of

_PER_PROVIDER = re.compile(
    r"(?:trial\.image|compute\.instance|output|identity|encryption\.(?:volume_)?key|data\.[^.]+)\.([^.]+)"
)
"""Paths of values for one provider alone; the last part is its name."""


def merged(job: TuningJob, name: str, plans: Mapping[str, Plan]) -> Plan:
    """Return the plans of all profiles as one.

    Args:
        job: the spec.
        name: of the provider of the returned plan.
        plans: by the profile's name, in the order in which trials go to them.
    """
    notes: dict[str, list[tuple[str, Note]]] = {}
    for profile, plan in plans.items():
        for note in plan.notes:
            if _concerns(note.path, plan.provider, plans):
                notes.setdefault(note.path, []).append((profile, note))
    found = [*(_worst(path, told) for path, told in notes.items()), *notes_on_prices(job, plans)]
    if job.mode == "managed":
        found.append(
            Note("mode", Support.UNSUPPORTED, "several profiles have no tuner in common; take it away, or name one profile")
        )  # fmt: skip
    carried = {
        path: target if target in tuple(Beside) else f"{profile}.request.{target}"
        for profile, plan in reversed(list(plans.items()))  # that of the first profile that carries it wins
        for path, target in plan.carried.items()
    }
    request: dict[str, Any] = {profile: plan.to_data() for profile, plan in plans.items()}
    missing = tuple(dict.fromkeys(each for plan in plans.values() for each in plan.missing))
    return Plan(name, "driven", request, carried, tuple(found), _machines(plans), missing, rates_of(plans))


def _machines(plans: Mapping[str, Plan]) -> Machines | None:
    """Return the greatest machines of a trial, since any of the profiles may run it; None where none is known."""
    known = [plan.machines for plan in plans.values() if plan.machines is not None]
    if not known:
        return None
    longest = [each.longest for each in known]
    bound = None if len(known) < len(plans) else max((each for each in longest if each is not None), default=None)
    kinds = " or ".join(dict.fromkeys(each.kind for each in known))
    return Machines(kinds, max(each.count for each in known), None if None in longest else bound)


def _concerns(path: str, provider: str, plans: Mapping[str, Plan]) -> bool:
    """Return whether a path concerns a provider; a value for another of the providers does not."""
    head, _, rest = path.partition(".")
    told = head if head in own_keys(TuningJob) else rest.partition(".")[0] if head == "native" else None
    if told is None and (said := _PER_PROVIDER.fullmatch(path)):
        told = said[1]
    return told is None or told == provider or all(plan.provider != told for plan in plans.values())


def _worst(path: str, told: list[tuple[str, Note]]) -> Note:
    """Return one note for the notes of all profiles on a path."""
    messages: dict[str, list[str]] = {}
    for profile, note in told:
        messages.setdefault(note.message, []).append(profile)
    text = "; ".join(f"on {', '.join(profiles)}: {message}" for message, profiles in messages.items())
    worst = max((note.support for _, note in told), key=lambda support: support.rank)
    target = next((f"{profile}.request.{note.target}" for profile, note in told if note.target), "")
    return Note(path, worst, text, target)
