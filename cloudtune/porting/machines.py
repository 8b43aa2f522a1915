"""Port the machines that trials run on: what a job needs becomes a machine type, and another service's type its equivalent.

The processors, memory and accelerators that a job asks for are met by the cheapest machine of the service that has
them; what it would cost, and which come next, the plan says.
"""

from cloudtune.errors import suggest
from cloudtune.machines.accelerators import accelerator, kinds, neutral
from cloudtune.machines.catalogue import Catalogue, Needs, Offer, catalogue
from cloudtune.machines.data import services
from cloudtune.machines.machine import Accelerator, Machine
from cloudtune.planning.plan import Support
from cloudtune.porting.change import Change
from cloudtune.porting.offers import Choice, described
from cloudtune.porting.words import is_foreign, words_of
from cloudtune.spec.compute import Accelerators, Compute
from cloudtune.spec.fields import alternatives

_NEEDS = ("accelerators", "cpus", "memory")
"""The fields of `Compute` that say what a machine must have; the first one said bears the reason for the choice."""


def port_machines(change: Change) -> None:
    """Give the job a machine type of this service: its own, one that has what is needed, or another's equivalent."""
    named = alternatives(change.job.compute.instance, change.words.provider)
    own = tuple(name for name in named if not is_foreign("machine", name, change.words))
    if own:
        _keep(change, own, named)
    elif not named or _needs_only(change, named):
        _meet_needs(change, named)
    else:
        _replace(change, named)


def _keep(change: Change, own: tuple[str, ...], named: tuple[str, ...]) -> None:
    """Keep the machine types of the service's own, without those of others."""
    if others := [name for name in named if name not in own]:
        change.note(
            "compute.instance", Support.APPROXIMATE, f"{', '.join(others)}: another service's, of no effect here"
        )
        _name(change, own)
    _spell_accelerators(change, own[0])
    for name in own:
        _check(change, name)


def _check(change: Change, name: str) -> None:
    """Refuse a machine type of the service's own that neither its SDK nor its catalogue has."""
    types, newer = change.words.machine_types()
    if not types or name in types or change.catalogue.machine(name) is not None:
        return
    hint = f"{suggest(name, types)}; if it is new, {newer} may know it"
    change.note("compute.instance", Support.UNSUPPORTED, f"{change.words.service} has no machine type {name!r}; {hint}")


def _name(change: Change, types: tuple[str, ...], **fields: object) -> None:
    """Write machine types into the job for this service; what it says for other services stays."""
    value, there = change.job.compute.instance, types[0] if len(types) == 1 else types
    instance = {**value, change.words.provider: there} if isinstance(value, dict) else there
    change.update("compute", instance=instance, **fields)


def _needs_only(change: Change, named: tuple[str, ...]) -> bool:
    """Return whether a job says what it needs beside other services' machine types of which nothing is known."""
    beside = change.job.compute.accelerators
    return bool(_said(change.job.compute)) and all(_known_elsewhere(name, beside) is None for name in named)


def _said(compute: Compute) -> list[str]:
    return [name for name in _NEEDS if getattr(compute, name) is not None]


def _leaves(said: list[str]) -> list[str]:
    """Return the paths of the fields of a job that say what it needs."""
    parts = {"accelerators": ("accelerators.type", "accelerators.count")}
    return [f"compute.{leaf}" for name in said for leaf in parts.get(name, (name,))]


def _spell_accelerators(change: Change, own: str) -> None:
    """Write the accelerators beside a machine type of the service's own as the service does."""
    asked = change.job.compute.accelerators
    kind = None if asked is None else neutral(asked.type)
    if asked is None or kind is None:
        return
    machine = change.catalogue.machine(own, accelerator(kind, asked.count))
    if machine is not None and machine.spelling not in ("", asked.type):
        change.note("compute.accelerators.type", Support.ENCODED, f"{change.words.service} calls it {machine.spelling}")
        change.update("compute", accelerators=Accelerators(type=machine.spelling, count=asked.count))


# What a job needs


def _meet_needs(change: Change, foreign: tuple[str, ...]) -> None:
    """Choose the cheapest machine that has what the job needs; leave a job that needs nothing to the provider."""
    compute, known = change.job.compute, change.catalogue
    said = _said(compute)
    if not said or not known.machines:
        return
    kept = change.words.kept_machines(change.tables.settings)
    if kept is not None:
        return  # the provider says what of it has an effect there
    needs = _needs(compute)
    if needs is None:
        _refuse_accelerator(change)
        return
    found = known.find(needs, change.region, spot=compute.spot)
    asked = compute.accelerators
    if not found and asked is not None and change.words.knows("accelerator", asked.type):
        return  # in the service's own words, which its provider judges: it may be newer or older than what is known here
    if not found:
        _refuse(change, f"compute.{said[0]}", needs)
        return
    _rent(change, Choice(needs, change.region, compute.spot, tuple(_preferred(change, found))), said, foreign)


def _needs(compute: Compute) -> Needs | None:
    """Return what a job needs; None for accelerators that no name here means."""
    asked = compute.accelerators
    if asked is None:
        return Needs(compute.cpus, compute.memory)
    kind = neutral(asked.type)
    return None if kind is None else Needs(compute.cpus, compute.memory, accelerator(kind, asked.count))


def _preferred(change: Change, found: list[Offer]) -> list[Offer]:
    """Return the offers with that of the profile's own machine type, where it has what is needed, first."""
    default = change.default("instance")
    return sorted(found, key=lambda offer: offer.machine.name != default)


def _rent(change: Change, choice: Choice, said: list[str], foreign: tuple[str, ...]) -> None:
    machine = choice.offers[0].machine
    reason, *others = _leaves(said)
    change.note(reason, Support.ENCODED, choice.reason(change.default("instance")))
    for path in others:
        change.note(path, Support.ENCODED, f"{machine.name} has {machine.size}")
    if foreign:
        message = f"{machine.name} has what the job needs: {', '.join(foreign)} is another service's"
        change.note("compute.instance", Support.APPROXIMATE, message)
    _take(change, machine)


def _take(change: Change, machine: Machine, names: tuple[str, ...] = ()) -> None:
    """Write a machine of the service's own into the job, with the accelerators where the service wants them beside it.

    Args:
        change: the job.
        machine: the one that bears the accelerators.
        names: the machine types to write; () for that of `machine`.
    """
    own = machine.accelerator
    beside = None if own is None or not machine.spelling else Accelerators(type=machine.spelling, count=int(own.count))
    _name(change, names or (machine.name,), accelerators=beside, cpus=None, memory=None)


def _refuse_accelerator(change: Change) -> None:
    asked = change.job.compute.accelerators
    assert asked is not None
    try:
        accelerator(asked.type)
    except ValueError as error:
        change.note("compute.accelerators", Support.UNSUPPORTED, str(error))


def _refuse(change: Change, path: str, needs: Needs) -> None:
    offered = {each.accelerator.kind for each in change.catalogue.machines if each.accelerator is not None}
    most = "" if needs.accelerator is None else _most(change.catalogue, needs.accelerator, offered)
    message = (
        f"no machine of {change.words.service} that is known has {needs}{most}; name another one as compute.instance"
    )
    change.note(path, Support.UNSUPPORTED, message)


def _most(known: Catalogue, asked: Accelerator, offered: set[str]) -> str:
    """Return how many there are of the accelerators at most, or which ones there are instead."""
    own = [
        each.accelerator.count
        for each in known.machines
        if each.accelerator is not None and each.accelerator.kind == asked.kind
    ]
    if own:
        return f": it has {asked.kind} up to {max(own):g} a machine"
    return f": its accelerators are {', '.join(kind for kind in kinds() if kind in offered)}"


# Another service's machine types


def _replace(change: Change, foreign: tuple[str, ...]) -> None:
    """Replace other services' machine types by the profile's, or by the nearest equivalents of this service."""
    default = change.default("instance")
    pairs = [] if default else [pair for name in foreign if (pair := _equivalent(change, name)) is not None]
    if not pairs:
        _choose(change, foreign, default)
        return
    first = pairs[0][1].machine
    spot = change.job.compute.spot
    said = [
        f"{described(offer, spot)} takes the place of {name.name} ({name.size}), another service's"
        for name, offer in pairs
    ]
    change.note("compute.instance", Support.APPROXIMATE, "; ".join(said))
    for path in _leaves(_said(change.job.compute)):
        change.note(path, Support.APPROXIMATE, f"{first.name} has {first.size}")
    alike = [offer.machine.name for _, offer in pairs if offer.machine.accelerator == first.accelerator]
    _take(change, first, tuple(dict.fromkeys(alike)))


def _equivalent(change: Change, name: str) -> tuple[Machine, Offer] | None:
    """Return another service's machine and what takes its place here; None if either is not known."""
    wanted = _known_elsewhere(name, change.job.compute.accelerators)
    offer = None if wanted is None else change.catalogue.equivalent(wanted, change.region, spot=change.job.compute.spot)
    return None if wanted is None or offer is None else (wanted, offer)


def _choose(change: Change, foreign: tuple[str, ...], default: str | None) -> None:
    """Take the profile's machine type, or leave it to the provider."""
    which = f"the machine type that {change.words.service}'s provider chooses" if default is None else f"{default}, the profile's own"  # fmt: skip
    change.note("compute.instance", Support.APPROXIMATE, f"{which}: {', '.join(foreign)} is another service's")
    if default is not None:
        _name(change, (default,))
        return
    value = change.job.compute.instance
    others = (
        {name: said for name, said in value.items() if name != change.words.provider} if isinstance(value, dict) else {}
    )
    change.update("compute", instance=others or None)


def _known_elsewhere(name: str, beside: Accelerators | None) -> Machine | None:
    """Return another service's machine by its name and the accelerators beside it; None if it is not known."""
    kind = None if beside is None else neutral(beside.type)
    own = None if beside is None or kind is None else accelerator(kind, beside.count)
    for service in services():
        words = words_of(service)
        if words is not None and words.knows("machine", name):
            listed = catalogue(service)
            found = listed.machine(name, own) or listed.machine(name)
            if found is not None:
                return found
    return None
