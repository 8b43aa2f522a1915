"""Port the machines that trials run on: what a job needs becomes a machine type, and another service's type its equivalent.

The processors, memory and accelerators that a job asks for are met by the cheapest machine of the service that has
them; what it would cost, and which come next, the plan says.
"""

from cloudtune.machines.accelerators import accelerator, kinds, neutral
from cloudtune.machines.catalogue import Catalogue, Needs, Offer, catalogue
from cloudtune.machines.data import services
from cloudtune.machines.machine import Accelerator, Machine
from cloudtune.planning.plan import Support
from cloudtune.porting.change import Change
from cloudtune.porting.offers import Choice, described
from cloudtune.porting.words import is_foreign, words_of
from cloudtune.spec.job import Accelerators, Compute

_NEEDS = ("accelerators", "cpus", "memory")
"""The fields of `Compute` that say what a machine must have; the first one said bears the reason for the choice."""


def port_machines(change: Change) -> None:
    """Give the job a machine type of this service: its own, one that has what is needed, or another's equivalent."""
    value = change.job.compute.instance
    own = change.said(value)
    if own is not None and (change.names_service(value) or not is_foreign("machine", own, change.words)):
        _spell_accelerators(change)
    elif own is None or _needs_only(change, own):
        _meet_needs(change, own)
    else:
        _replace(change, own)


def _needs_only(change: Change, own: str) -> bool:
    """Return whether a job says what it needs beside another service's machine type of which nothing is known."""
    return bool(_said(change.job.compute)) and _known_elsewhere(own, change.job.compute.accelerators) is None


def _said(compute: Compute) -> list[str]:
    return [name for name in _NEEDS if getattr(compute, name) is not None]


def _leaves(said: list[str]) -> list[str]:
    """Return the paths of the fields of a job that say what it needs."""
    parts = {"accelerators": ("accelerators.type", "accelerators.count")}
    return [f"compute.{leaf}" for name in said for leaf in parts.get(name, (name,))]


def _spell_accelerators(change: Change) -> None:
    """Write the accelerators beside a machine type of the service's own as the service does."""
    asked, own = change.job.compute.accelerators, change.said(change.job.compute.instance)
    kind = None if asked is None else neutral(asked.type)
    if asked is None or kind is None or own is None:
        return
    machine = change.catalogue.machine(own, accelerator(kind, asked.count))
    if machine is not None and machine.spelling not in ("", asked.type):
        change.note("compute.accelerators.type", Support.ENCODED, f"{change.words.service} calls it {machine.spelling}")
        change.update("compute", accelerators=Accelerators(type=machine.spelling, count=asked.count))


# What a job needs


def _meet_needs(change: Change, foreign: str | None) -> None:
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


def _rent(change: Change, choice: Choice, said: list[str], foreign: str | None) -> None:
    machine = choice.offers[0].machine
    reason, *others = _leaves(said)
    change.note(reason, Support.ENCODED, choice.reason(change.default("instance")))
    for path in others:
        change.note(path, Support.ENCODED, f"{machine.name} has {machine.size}")
    if foreign is not None:
        message = f"{machine.name} has what the job needs: {foreign} is another service's"
        change.note("compute.instance", Support.APPROXIMATE, message)
    _take(change, machine)


def _take(change: Change, machine: Machine) -> None:
    """Write a machine of the service's own into the job, with the accelerators where the service wants them beside it."""
    own = machine.accelerator
    beside = None if own is None or not machine.spelling else Accelerators(type=machine.spelling, count=int(own.count))
    instance = change.replaced(change.job.compute.instance, machine.name)
    change.update("compute", instance=instance, accelerators=beside, cpus=None, memory=None)


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


def _replace(change: Change, foreign: str) -> None:
    """Replace another service's machine type by the profile's, or by the nearest equivalent of this service."""
    wanted = _known_elsewhere(foreign, change.job.compute.accelerators)
    default = change.default("instance")
    offer = (
        None
        if default or wanted is None
        else change.catalogue.equivalent(wanted, change.region, spot=change.job.compute.spot)
    )
    if offer is not None and wanted is not None:
        message = f"{described(offer, change.job.compute.spot)} takes the place of {foreign} ({wanted.size}), another service's"
        change.note("compute.instance", Support.APPROXIMATE, message)
        for path in _leaves(_said(change.job.compute)):
            change.note(path, Support.APPROXIMATE, f"{offer.machine.name} has {offer.machine.size}")
        _take(change, offer.machine)
        return
    which = f"the machine type that {change.words.service}'s provider chooses" if default is None else f"{default}, the profile's own"  # fmt: skip
    change.note("compute.instance", Support.APPROXIMATE, f"{which}: {foreign} is another service's")
    change.update("compute", instance=change.replaced(change.job.compute.instance, default))


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
