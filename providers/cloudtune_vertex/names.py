"""What Vertex AI calls our runs and trials: labels that derive from the run's id, by which a repeated call finds what an earlier one made."""

import hashlib
import re
from collections.abc import Mapping

RUN_LABEL = "cloudtune-run"
TRIAL_LABEL = "cloudtune-trial"
ATTEMPT_LABEL = "cloudtune-attempt"

_LONGEST = 63
"""Characters of a label's key or value ("Requirements for labels")."""


def run_name(name: str, run_id: str) -> str:
    """Return a run's name in labels and folders: the job's, and a mark of the run's id."""
    return f"{legal(name)[: _LONGEST - 9]}-{mark_of(run_id)}"


def mark_of(run_id: str) -> str:
    """Return eight hexadecimal digits that stand for a run."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:8]


def machines_name(run_id: str) -> str:
    """The id of the persistent resource of a run: only its own jobs name it."""
    return f"cloudtune-{mark_of(run_id)}"


def legal(text: str) -> str:
    """Return a text as near to the given one as the value of a label may be."""
    return re.sub(r"[^\w-]+", "_", text.lower())[:_LONGEST]


def legal_key(text: str) -> str:
    """Return a text as near to the given one as the key of a label may be: it begins with a letter."""
    key = legal(text).lstrip("_-")
    return key if key[:1].isalpha() else f"tag-{key}"[:_LONGEST]


def trial_labels(run: str, number: int, attempt: int) -> dict[str, str]:
    """Return the labels of the custom job that one attempt of a driven run's trial is."""
    return {RUN_LABEL: run, TRIAL_LABEL: str(number), ATTEMPT_LABEL: str(attempt)}


def filter_of(labels: Mapping[str, str]) -> str:
    """Return the filter of a list call that finds jobs by labels (https://google.aip.dev/160)."""
    return " AND ".join(f'labels.{key}="{value}"' for key, value in labels.items())


def id_of(name: str) -> str:
    """Return the last part of a resource's name."""
    return name.rpartition("/")[2]
