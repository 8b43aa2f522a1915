"""The exceptions that cloudtune raises on purpose, and helpers for their messages.

One base class; each error also is the built-in exception that a Python user would catch. A message says what is
wrong, where, and what to do, and never holds a secret, a token or the value of an environment variable.
"""

import contextlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cloudtune.errors.masking import masked_text

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a line of JSON raises that is not what it should be: half a line, another kind, no number, brackets alone."""


class CloudtuneError(Exception):
    """The base class of cloudtune's errors; the command line ends with `exit_code`.

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


class PluginError(ConfigError):
    """A plug-in of an installed package cannot be used: it is broken, or lacks a package; others are not affected."""


class UnsupportedError(CloudtuneError, ValueError):
    """The provider cannot do what the spec asks; `problems` names the fields and what to change.

    `lines` are those to add to ``cloudtune.toml``, where that is what to change.
    """

    exit_code = 3

    def __init__(self, provider: str, problems: Sequence[Problem], lines: Sequence[str] = ()) -> None:
        self.provider = provider
        self.problems = tuple(problems)
        self.lines = tuple(lines)
        told = [f"  {problem}" for problem in self.problems]
        added = ["add to cloudtune.toml, with your own values for …:", *self.lines] if lines else []
        super().__init__("\n".join([f"{provider} cannot run this job as it stands:", *told, *added]))


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
    """The emulator has ended and its jobs are gone: a retry does not help."""


class CredentialError(ProviderError, PermissionError):
    """There are no credentials, they have expired, or they do not permit the call."""


class QuotaError(ProviderError):
    """A limit of the account or of the machine is reached."""


class NoGoodTrial(CloudtuneError, RuntimeError):
    """Every trial of a run ended without a result.

    Attributes:
        run: the run, as a `cloudtune.Run`.
    """

    def __init__(self, message: str, run: object) -> None:
        self.run = run
        super().__init__(message)


class DriverError(CloudtuneError, RuntimeError):
    """The driver process of a run crashed: a bug of cloudtune or of a plug-in, or no memory. The run can be resumed."""

    exit_code = 130


class StoreError(CloudtuneError, OSError):
    """The store on disk cannot be read or written: it is full, damaged, or from a newer cloudtune."""

    exit_code = 4


class DamagedRun(StoreError):
    """The stored data of one run is damaged; other runs are not affected.

    Attributes:
        run_id: the run.
    """

    def __init__(self, message: str, *, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(message)


class NotLaunched(CloudtuneError):
    """A run was not launched: the user said no to its cost, there was no terminal to ask in, or its rehearsal failed."""

    exit_code = 3


class TrialError(CloudtuneError, RuntimeError):
    """A trial failed, or lacks what the caller asked for."""


class RunNotFound(CloudtuneError, LookupError):
    """No run, or more than one, matches the given id."""

    exit_code = 5


class RunBusy(CloudtuneError, RuntimeError):
    """Another process is driving this run already."""

    exit_code = 6


_LISTED = 12
"""The most known words that a message lists."""


@contextlib.contextmanager
def ignoring(codes: Container[str]) -> Iterator[None]:
    """Ignore a ProviderError with one of these codes that is raised within the context."""
    try:
        yield
    except ProviderError as error:
        if error.code not in codes:
            raise


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the known word most similar to `word`; None if none is similar."""
    lowered = {each.lower(): each for each in words}
    sought = word.lower()
    longer = sorted((each for each in lowered if len(sought) > 2 and sought in each), key=len)
    if not longer:
        from difflib import get_close_matches  # noqa: PLC0415  # only mistakes need it

        longer = get_close_matches(sought, lowered, n=1)
    return lowered[longer[0]] if longer else None


def suggest(word: str, words: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the most similar known word, else the known words."""
    known = list(words)
    near = nearest(word, known)
    if near is not None:
        return f"did you mean {near!r}?"
    some = "" if len(known) <= _LISTED else f" and {len(known) - _LISTED} more"
    return f"known are: {', '.join(known[:_LISTED])}{some}"


def in_one_line(error: BaseException) -> str:
    """Return an error's message on one line, at most 500 characters; prefix the type of errors that are not ours."""
    said = " ".join(str(error).split())
    if isinstance(error, CloudtuneError) and said:
        return said[:500]
    return f"{type(error).__name__}: {said}"[:500] if said else type(error).__name__
