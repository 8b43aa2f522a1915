"""Port the places of inputs and of the output."""

from cloudtune.planning.plan import Support
from cloudtune.porting.change import Change, Said
from cloudtune.spec.places import is_local

_SAME = "which [places] of cloudtune.toml say holds the same as"


def port_data(change: Change) -> None:
    """Replace each input's place by the one that holds the same data on this service."""
    data = {name: _input(change, f"data.{name}", value) for name, value in change.job.data.items()}
    if data != change.job.data:
        change.update(data=data)


def _input(change: Change, path: str, value: str | dict[str, str]) -> Said:
    own = change.said(value)
    if change.names_service(value) or (own is not None and not is_local(own) and change.words.reads(own)):
        return value
    place, there = _elsewhere(change, value)
    if there is not None and there != own:
        change.note(path, Support.ENCODED, f"is read from {there}, {_SAME} {place}")
        return change.replaced(value, there)
    if own is None or not change.words.reads(own):
        change.miss_place(path, place, f"{place} is another service's: where does the same data lie on {change.words.service}?")  # fmt: skip
    return value


def port_output(change: Change) -> None:
    """Replace the output's place by that of this service, or else by the profile's own."""
    value = change.job.output
    own = change.said(value)
    if value is None or change.names_service(value) or (own is not None and change.words.writes(own)):
        return
    place, there = _elsewhere(change, value)
    if there is not None:
        _write_to(change, there, Support.ENCODED, f"{_SAME} {place}")
    elif own is None:
        return  # the job leaves it to the service's profile
    elif default := change.default("output"):
        _write_to(change, default, Support.APPROXIMATE, f"the profile's own: {place} is another service's")
    elif not change.words.writes(own):
        change.miss_place(
            "output", place, f"{place} is another service's: where do outputs go on {change.words.service}?"
        )


def _write_to(change: Change, there: str, support: Support, why: str) -> None:
    if there != change.said(change.job.output):
        change.note("output", support, f"goes to {there}, {why}")
        change.update(output=change.replaced(change.job.output, there))


def _elsewhere(change: Change, value: str | dict[str, str]) -> tuple[str, str | None]:
    """Return a place that a setting names, and where the same data lies on this service; None where that is not said."""
    own = change.said(value)
    named = [own] if own is not None else [value] if isinstance(value, str) else list(value.values())
    tables = change.tables
    found = [(place, tables.places.on(change.words, place, tables.base)) for place in named]
    return next((each for each in found if each[1] is not None), found[0])
