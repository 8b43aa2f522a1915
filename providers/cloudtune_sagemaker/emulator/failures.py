"""Why a training job failed, in the words of the service."""

import re

from cloudtune.errors import CloudtuneError

LONGEST = 1024
"""Characters of a FailureReason (FailureReason of botocore's sagemaker model has this as its greatest length)."""

_LINES = 12
_MISSING = re.compile(r"(No such file or directory|FileNotFoundError|Permission denied|PermissionError|Read-only)")


class JobFailure(CloudtuneError, RuntimeError):
    """A training job cannot be started, or its results cannot be kept; the message is the FailureReason."""


def shorten(reason: str) -> str:
    """A FailureReason within its greatest length."""
    return reason if len(reason) <= LONGEST else reason[: LONGEST - 1] + "…"


def algorithm_error(text: str, code: int, hint: str = "") -> str:
    """The FailureReason of a program that ended with an exit code: ``AlgorithmError: …, exit code: 1``."""
    end = f", exit code: {code}" + (f" ({hint})" if hint else "")
    room = LONGEST - len("AlgorithmError: ") - len(end)
    return f"AlgorithmError: {text[:room]}{end}"


def last_words(lines: list[str]) -> str:
    """The part of a program's last output that says why it failed: its traceback, or the last lines."""
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if starts and len(lines) - starts[-1] > _LINES:
        return "\n".join([lines[starts[-1]], "  …", *lines[-_LINES + 2 :]])
    return "\n".join(lines[starts[-1] :] if starts else lines[-_LINES:])


def speaks_of_missing_base(lines: list[str], base: str) -> bool:
    """Whether the output shows that the program looked for ``/opt/ml`` itself and did not find it."""
    return any(re.search(rf"(?<![\w.-]){base}(?![\w.-])", line) and _MISSING.search(line) for line in lines)
