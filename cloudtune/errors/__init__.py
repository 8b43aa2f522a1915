"""Every error that cloudtune raises on purpose.

One base class; each error also is the built-in exception that a Python user would catch. A message says what is
wrong, where, and what to do, and never holds a secret, a token or the value of an environment variable.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudtune.errors.masking import masked_text


class CloudtuneError(Exception):
    """The base of all errors of cloudtune; `exit_code` is what the command line ends with.

    Secrets in the message, which may quote a service or an address, are masked.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(masked_text(message))


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a spec.

    Attributes:
        path: where in the spec, e.g. ``space.lr.low``; empty for the document as a whole.
        message: what is wrong.
        hint: what to do; may be empty.
        line: the line of the YAML, from 1; None for a spec that did not come from a text.
        column: the column of the YAML, from 1.
    """

    path: str
    message: str
    hint: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line is not None else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{path}{self.message}{hint}"


class SpecError(CloudtuneError, ValueError):
    """A spec that is not valid; `problems` lists every mistake, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], source: str = "the job") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = len(self.problems)
        head = f"{source} has {count} problem{'s' if count != 1 else ''}:"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class ConfigError(CloudtuneError, ValueError):
    """A `cloudtune.toml`, an environment variable or an option that cannot be used."""

    exit_code = 2


class UnsupportedError(CloudtuneError, ValueError):
    """The provider cannot do what the spec asks; `problems` says which fields, and what to change."""

    exit_code = 3

    def __init__(self, provider: str, problems: Sequence[Problem]) -> None:
        self.provider = provider
        self.problems = tuple(problems)
        lines = [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join([f"{provider} cannot run this job as it stands:", *lines]))


class ProviderError(CloudtuneError, RuntimeError):
    """A provider answered with an error, or did not answer.

    Attributes:
        code: the service's own code, e.g. ``ThrottlingException``.
        retryable: whether the same call may succeed later.
    """

    exit_code = 4

    def __init__(self, message: str, *, code: str = "", retryable: bool = False) -> None:
        self.code = code
        self.retryable = retryable
        super().__init__(message)


class EmulatorEnded(ProviderError):
    """The emulator that was asked has ended, with all that it kept: trying again will not help."""


class CredentialError(ProviderError, PermissionError):
    """No credentials, expired ones, or ones that may not do this."""


class QuotaError(ProviderError):
    """A limit of the account or of the machine is reached."""


class DriverError(CloudtuneError, RuntimeError):
    """The driver of a run broke: by a bug of ours or of a plug-in, or for lack of memory. The run can be resumed."""

    exit_code = 130


class StoreError(CloudtuneError, OSError):
    """The store on disk cannot be read or written: it is full, damaged, or from a newer cloudtune."""

    exit_code = 4


class DamagedRun(StoreError):
    """What the store, or its folder, holds of one run is damaged; other runs are not.

    Attributes:
        run_id: the run.
    """

    def __init__(self, message: str, *, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(message)


class TrialError(CloudtuneError, RuntimeError):
    """A trial failed, or has not what was asked of it."""


class RunNotFound(CloudtuneError, LookupError):
    """No run, or more than one, answers to the given id."""

    exit_code = 5


class RunBusy(CloudtuneError, RuntimeError):
    """Another process is driving this run already."""

    exit_code = 6


_LISTED = 12
"""Known words that a message lists at most."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the known word that was most likely meant; None where none is near."""
    lowered = {each.lower(): each for each in words}
    sought = word.lower()
    longer = sorted((each for each in lowered if len(sought) > 2 and sought in each), key=len)
    near = longer or difflib.get_close_matches(sought, lowered, n=1)
    return lowered[near[0]] if near else None


def suggest(word: str, words: Iterable[str]) -> str:
    """Return the end of a message about a word that is none of the known ones: the nearest of them, else all (or some)."""
    known = list(words)
    near = nearest(word, known)
    if near is not None:
        return f"did you mean {near!r}?"
    some = "" if len(known) <= _LISTED else f" and {len(known) - _LISTED} more"
    return f"known are: {', '.join(known[:_LISTED])}{some}"


def in_one_line(error: BaseException) -> str:
    """What an error says, on one line; an error of Python's with its name."""
    said = " ".join(str(error).split())
    if isinstance(error, CloudtuneError) and said:
        return said[:500]
    return f"{type(error).__name__}: {said}"[:500] if said else type(error).__name__
