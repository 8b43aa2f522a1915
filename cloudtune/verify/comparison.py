"""The differences between what a service and its emulator answered, and their form for an issue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cloudtune.errors.masking import masked_text
from cloudtune.provider.answers import Answer
from cloudtune.verify.shapes import Shape, shapes_of


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        operation: of the service.
        what: the path in the answer, or "" for the operation as a whole.
        service: what the service answered.
        emulator: what the emulator answered.
    """

    operation: str
    what: str
    service: str
    emulator: str


def differences(service: Sequence[Answer], emulator: Sequence[Answer]) -> list[Difference]:
    """Return the differences between the answers to one job: in keys, types, states and errors.

    A service is looked at less often than its emulator, so what the emulator shows on the way alone is no difference.

    Args:
        service: all of its answers, in their order.
        emulator: the same of the emulator.
    """
    there, here = shapes_of(service), shapes_of(emulator)
    found = []
    for operation, shape in there.items():
        if operation not in here:
            found.append(Difference(operation, "", "answers", "was not asked"))
        else:
            found += _of_operation(operation, shape, here[operation])
    return found


def _of_operation(operation: str, service: Shape, emulator: Shape) -> Iterator[Difference]:
    for code in sorted(service.errors - emulator.errors):
        yield Difference(operation, "error", code, ", ".join(sorted(emulator.errors)) or "none")
    if not service.types or not emulator.types:
        if bool(service.types) != bool(emulator.types):
            yield Difference(operation, "", _outcome(service), _outcome(emulator))
        return
    for path in _outermost(set(service.types) - set(emulator.types)):
        yield Difference(operation, path, " or ".join(sorted(service.types[path])), "not there")
    for path in _outermost(emulator.last - set(service.types)):
        yield Difference(operation, path, "not there", " or ".join(sorted(emulator.types[path])))
    for path, types in service.types.items():
        if path in emulator.types and not types <= emulator.types[path]:
            yield Difference(operation, path, " or ".join(sorted(types)), " or ".join(sorted(emulator.types[path])))
    yield from _of_states(operation, service.states, emulator.states)


def _of_states(
    operation: str, service: Mapping[str, Mapping[str, int]], emulator: Mapping[str, Mapping[str, int]]
) -> Iterator[Difference]:
    """Yield the differences of states: one that lasted and the emulator has not, another last one, or another order.

    A state that was in one answer alone may pass too quickly to be seen at the emulator. The states of a list's elements
    have no order: their jobs run side by side.
    """
    for path, states in service.items():
        own = list(emulator.get(path, ()))
        if not own:
            continue
        known = [state for state in states if state in own]
        lasting = [state for state, count in states.items() if count > 1 and state not in own]
        ordered = "[]" in path or known == [state for state in own if state in states]
        if lasting or not ordered or ("[]" not in path and own[-1] != list(states)[-1]):
            yield Difference(operation, path, " → ".join(states), " → ".join(own))


def _outcome(shape: Shape) -> str:
    return "answers" if shape.types else f"error {', '.join(sorted(shape.errors))}"


def _outermost(paths: set[str]) -> list[str]:
    """Return paths without those that lie below another one of them, sorted."""
    return sorted(path for path in paths if not any(_is_below(path, other) for other in paths))


def _is_below(path: str, other: str) -> bool:
    return path != other and path.startswith((f"{other}.", f"{other}["))


def report(found: Sequence[Difference], title: str, facts: Mapping[str, str]) -> str:
    """Return the text of an issue; secrets in it are masked.

    Args:
        found: the differences.
        title: of the issue.
        facts: what a reader needs to know, by its name: versions, the mode.
    """
    lines = [f"# {title}", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    if not found:
        return masked_text("\n".join([*lines, "No differences in keys, types, states and errors."]))
    lines += ["| operation | what | the service | the emulator |", "|---|---|---|---|"]
    lines += [f"| {each.operation} | {each.what or '–'} | {each.service} | {each.emulator} |" for each in found]
    return masked_text("\n".join(lines))
