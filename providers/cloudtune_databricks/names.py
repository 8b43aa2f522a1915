"""What Databricks calls our runs and trials: names that derive from the run's id, by which a repeated call finds what an earlier one made."""

import hashlib
import re

_RUN = 44
"""Characters of a run's name at most: a trial's, with its number and attempt, is the token of its run, which has 64 at most."""


def run_name(name: str, run_id: str) -> str:
    """Return a run's name: the job's, and a mark of the run's id."""
    mark = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    legal = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "run"
    return f"{legal[: _RUN - 9].rstrip('-')}-{mark}"


def trial_name(run: str, number: int, attempt: int) -> str:
    """Return the name of the one-time run that one attempt of a trial is, which is its idempotency token as well."""
    return f"{run}-{number}-{attempt}"


def attempt_in(run: str, name: str) -> tuple[int, int] | None:
    """Return the number and the attempt of a trial of a run, from the name of a one-time run; None for another's."""
    found = re.fullmatch(rf"{re.escape(run)}-(\d+)-(\d+)", name)
    return None if found is None else (int(found[1]), int(found[2]))
