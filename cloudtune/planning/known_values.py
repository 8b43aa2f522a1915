"""Judge a value that only a service knows for sure: known, well-formed but unknown, or wrong.

A machine type, a region or a disk type is judged by data that a provider has. Such data ages, so an unknown value is
passed on with a note if its form is right; another is refused, and the nearest known value suggested.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cloudtune.errors import nearest, suggest
from cloudtune.planning.plan import Support

Verdict = tuple[Support, str]

Finding = tuple[str, Verdict]
"""A place in a request, and the verdict on what is there."""


@dataclass(frozen=True, slots=True)
class Known:
    """The known values of one kind.

    Attributes:
        kind: what messages call one of them, e.g. ``machine type``.
        values: those that are known.
        form: matches every value of the kind as a whole.
        source: where the values are from, e.g. ``botocore 1.44.8``.
    """

    kind: str
    values: Sequence[str]
    form: re.Pattern[str]
    source: str

    def judge(self, value: str) -> Verdict | None:
        """Return how far a value was checked and what was found; None for a known one."""
        if value in self.values:
            return None
        if not self.form.fullmatch(value):
            return Support.UNSUPPORTED, f"there is no {self.kind} {value!r}; {suggest(value, self.values)}"
        near = nearest(value, self.values)
        hint = f"; the nearest is {near}" if near else ""
        known = f"not among the {len(self.values)} that {self.source} knows"
        return Support.UNCHECKED, f"the {self.kind} {value} is passed on unchecked: {known}{hint}"


@dataclass(frozen=True, slots=True)
class Form:
    """Values of a kind of which only the form is known: the values themselves depend on the user's account.

    Attributes:
        kind: what messages call one of them, e.g. ``image``.
        form: matches every value of the kind as a whole.
        example: one, for messages.
        unchecked: why a well-formed one is passed on unchecked; "" if checking its form is enough.
    """

    kind: str
    form: re.Pattern[str]
    example: str
    unchecked: str = ""

    def judge(self, value: str) -> Verdict | None:
        """Return how far a value was checked and what was found; None for a valid one."""
        if not self.form.fullmatch(value):
            return Support.UNSUPPORTED, f"{value!r} is no {self.kind}; one looks like {self.example}"
        if self.unchecked:
            return Support.UNCHECKED, f"{value} is passed on unchecked: {self.unchecked}"
        return None


_OPEN = re.compile(r"\$\{\{.*?\}\}|\$\{.*?\}")


def judge_text(values: Known | Form, value: object) -> Verdict | None:
    """Return what was found of a value in a request; None for a valid or empty one, and for one that is no text.

    What is only known when a run starts, such as ``${run}``, is judged as if it were a word.
    """
    if not isinstance(value, str) or not value:
        return None
    return values.judge(_OPEN.sub("xxx", value))


def judge_at(values: Known | Form, value: object, path: str) -> Iterator[Finding]:
    """Yield what `judge_text` finds of a value, with its place in the request."""
    verdict = judge_text(values, value)
    if verdict is not None:
        yield path, verdict


IMAGE = Form(
    "container image",
    # https://github.com/distribution/reference: a host with a port, a path in lower case, a tag, a digest
    re.compile(
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/)?"
        r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
        r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"
    ),
    "registry.example.com/team/training:1.2",
)
