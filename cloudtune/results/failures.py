"""Grouping of failed trials by reason: each kind is reported once, and a run whose first trials fail alike stops."""

import re
from collections import Counter
from collections.abc import Mapping

from cloudtune.space.parameters import Scalar

FEWEST = 3
"""Trials that must fail in the same way, with none that succeeded, before the run is stopped."""

_LONGEST = 300
"""Characters of a reason that are compared, once its trial's own values are taken out of it."""

_NAMES_FROM = 5
"""Characters from which on the name of a trial's job is surely no word of its reason."""

_READ = 2000
"""Characters of a reason that are read for that."""

_EXIT_CODE = re.compile(r"\bcode \d+")
_PATH = re.compile(r"(?:[\w.~-]*/)+[\w.@~+-]*")
_NUMBER = re.compile(r"[-+]?(?<![a-z])(?:0x[0-9a-f]+|\d[\d_,]*(?:\.\d*)?(?:e[-+]?\d+)?|nan\b|inf\b)")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:z\b|[+-]\d\d:?\d\d\b)?")
_SHAPE = re.compile(r"\b\d+(?:x\d+)+\b")
_NUMBERS = re.compile(r"[\[(]? ?<number>(?:,? <number>)+,? ?[\])]?|[\[(]<number>,?[\])]")
_PARAMETERS = re.compile("<parameter>(?: <parameter>)+")
_DIGEST = re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b")


_PATTERNS = (
    (_ADDRESS, "<path>"),
    (_PATH, "<path>"),
    (_TIME, "<time>"),
    (_DIGEST, "<name>"),
    (_SHAPE, "<number>"),
    (_NUMBER, "<number>"),
    (_NUMBERS, "<number>"),  # lists, and the shapes of tensors
)


def kind_of(reason: str, parameters: Mapping[str, Scalar], place: str = "") -> str:
    """Return the reason of a failure with what may differ from trial to trial replaced by placeholders.

    That is paths, addresses, times, digests, numbers and lists of them, the trial's parameters, and the name of its job.

    Exit codes stay: a different exit code is a different kind of failure.

    Args:
        reason: why the trial failed.
        parameters: of the trial, which its reason may quote: "unrecognized arguments: --lr 0.1 --kernel rbf".
        place: where it ran, as its record says: the provider, a colon, and the name of its job there.
    """
    text = " ".join(reason.replace("\0", " ").lower().split())[:_READ]
    name = place.partition(":")[2].lower()
    if len(name) >= _NAMES_FROM:
        text = re.sub(rf"(?<!\w){re.escape(name)}[\w-]*", "<name>", text)  # with what a service puts behind it
    text = _without(parameters, text)[:_LONGEST]
    codes = iter(_EXIT_CODE.findall(text))
    text = _EXIT_CODE.sub("\0", text)
    for pattern, word in _PATTERNS:
        text = pattern.sub(word, text)
    return re.sub("\0", lambda _: next(codes), text)


def _without(parameters: Mapping[str, Scalar], text: str) -> str:
    """Return a text in lower case without options of these parameters, and without those of their values that are texts."""
    for name, value in parameters.items():
        text = re.sub(rf"--?{re.escape(name.lower())}[= ]\S+", "<parameter>", text)
        if value is None or isinstance(value, bool):
            text = re.sub(
                rf"(?<![\w-])({re.escape(name.lower())}['\"]?\s?[=:]\s?)(?:true|false|none|null)\b", r"\1<value>", text
            )
        if isinstance(value, str) and value:
            text = re.sub(rf"(?<!\w){re.escape(value.lower())}(?!\w)", "<value>", text)
    return _PARAMETERS.sub("<parameter>", text)  # some exist under conditions only


class Failures:
    """Counts of failed trials by kind, added in the order in which the trials end."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, str]] = {}
        self._counts: Counter[str] = Counter()
        self._succeeded = False

    def add(self, number: int, reason: str, parameters: Mapping[str, Scalar], place: str = "") -> bool:
        """Count a failed trial; return whether it is the first of its kind. See `kind_of`."""
        kind = kind_of(reason, parameters, place)
        self._counts[kind] += 1
        new = kind not in self._first
        self._first.setdefault(kind, (number, reason))
        return new

    def succeeded(self) -> None:
        """Note that a trial ended without a failure."""
        self._succeeded = True

    @property
    def alike_so_far(self) -> int:
        """How many trials have ended, if all failed in the same way; else 0."""
        return 0 if self._succeeded or len(self._counts) != 1 else self._counts.total()

    @property
    def reason(self) -> str:
        """The reason of the first failure; "" for none."""
        return next(iter(self._first.values()), (0, ""))[1]

    def repeated(self) -> list[str]:
        """Return a line for each kind of failure that more than one trial ended in."""
        return [
            f"trial {self._first[kind][0]} failed, and {count - 1} more in the same way"
            for kind, count in self._counts.items()
            if count > 1
        ]
