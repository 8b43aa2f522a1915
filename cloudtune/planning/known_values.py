"""What can be said of a value that only a service knows for sure: known, well-formed but new, or wrong.

A machine type, a region or a disk type is judged by data that a provider has. Such data ages, so what merely is not
among it is passed on with a note, if it looks like one of its kind; what cannot be one is refused with the nearest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cloudtune.errors import nearest, suggest
from cloudtune.planning.plan import Support

Verdict = tuple[Support, str]


@dataclass(frozen=True, slots=True)
class Known:
    """Values of one kind, as far as they are known.

    Attributes:
        kind: what messages call one of them, e.g. ``machine type``.
        values: those that are known.
        form: how a value of the kind looks; one that does not match as a whole is none.
        source: where the values are from, e.g. ``botocore 1.44.8``.
    """

    kind: str
    values: Sequence[str]
    form: re.Pattern[str]
    source: str

    def judge(self, value: str) -> Verdict | None:
        """Return how far a value was checked, and what was found; None for a known one."""
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
    """Values of a kind of which only the form is known; which there are, only the user's account knows.

    Attributes:
        kind: what messages call one of them, e.g. ``image``.
        form: how such a value looks.
        example: one, for messages.
        unchecked: why a well-formed one still is passed on unchecked; "" if its form says enough.
    """

    kind: str
    form: re.Pattern[str]
    example: str
    unchecked: str = ""

    def judge(self, value: str) -> Verdict | None:
        """Return how far a value was checked, and what was found; None for one that is right as far as can be known."""
        if not self.form.fullmatch(value):
            return Support.UNSUPPORTED, f"{value!r} is no {self.kind}; one looks like {self.example}"
        if self.unchecked:
            return Support.UNCHECKED, f"{value} is passed on unchecked: {self.unchecked}"
        return None


_OPEN = re.compile(r"\$\{\{.*?\}\}|\$\{.*?\}")


def judge_text(values: Known | Form, value: object) -> Verdict | None:
    """Return what was found of a value in a request: None for one that is right, that is not there, or no text.

    What is known only when a run starts, such as ``${run}``, counts as any word.
    """
    if not isinstance(value, str) or not value:
        return None
    return values.judge(_OPEN.sub("xxx", value))


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
