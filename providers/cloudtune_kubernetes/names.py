"""What a cluster calls our runs and trials: names and labels that derive from the run's id.

A repeated call finds by them what an earlier one made.
"""

import hashlib
import re

PREFIX = "cloudtune.dev"
"""The prefix of labels and annotations."""

RUN, TRIAL, ATTEMPT = f"{PREFIX}/run", f"{PREFIX}/trial", f"{PREFIX}/attempt"

_LONGEST = 63
"""Characters of a label's value, and of a name that is a label of the DNS (RFC 1123)."""

_RUN = 40
"""Characters of a run's name: a trial's has its number and attempt besides, and its pods' their index (63 in all)."""


def run_name(name: str, run_id: str, longest: int = _RUN) -> str:
    """Return a run's name in names and labels: the job's, and a mark of the run's id.

    Args:
        name: of the job.
        run_id: of the run.
        longest: characters that it may have.
    """
    mark = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    legal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
    head = legal if legal[:1].isalpha() else f"run-{legal}"  # a Service's name begins with a letter (RFC 1035)
    return f"{head[: longest - 9].rstrip('-')}-{mark}"


def trial_name(run: str, number: int, attempt: int) -> str:
    """Return the name of the Job that one attempt of a trial is."""
    return f"{run}-{number}-{attempt}"


def trial_labels(run: str, number: int, attempt: int) -> dict[str, str]:
    """Return the labels of that Job and of its pods."""
    return {RUN: run, TRIAL: str(number), ATTEMPT: str(attempt)}


_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def legal_label(key: str, value: str) -> tuple[str, str]:
    """Return a label as near to the given one as labels may be.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
    """
    if _KEY.fullmatch(key) and _VALUE.fullmatch(value):
        return key, value
    name = key if _KEY.fullmatch(key) else re.sub(r"[^-A-Za-z0-9_.]+", "-", key)[:_LONGEST].strip("-_.") or "tag"
    return name, re.sub(r"[^-A-Za-z0-9_.]+", "-", value)[:_LONGEST].strip("-_.")
