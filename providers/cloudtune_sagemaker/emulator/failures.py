"""Why a training job failed, in the words of the service."""

from cloudtune.errors import CloudtuneError

LONGEST = 1024
"""Characters of a FailureReason (FailureReason of botocore's sagemaker model has this as its greatest length)."""


class JobFailure(CloudtuneError, RuntimeError):
    """A training job cannot be started, or its results cannot be kept; the message is the FailureReason."""


def shorten(reason: str) -> str:
    """Return a FailureReason within its greatest length."""
    return reason if len(reason) <= LONGEST else reason[: LONGEST - 1] + "…"


def algorithm_error(text: str, code: int, hint: str = "") -> str:
    """Return the FailureReason of a program that ended with an exit code: ``AlgorithmError: …, exit code: 1``."""
    end = f", exit code: {code}" + (f" ({hint})" if hint else "")
    room = LONGEST - len("AlgorithmError: ") - len(end)
    return f"AlgorithmError: {text[:room]}{end}"
