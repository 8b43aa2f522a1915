"""Keep the secrets of a run, the values of its environment variables, as long as it may need them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import ProviderError
from cloudtune.errors.masking import MASK as MASK  # noqa: PLC0414  # known from here as well
from cloudtune.errors.masking import remember

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

PACKED = ("assets", "code")
"""Folders in a run's folder with code and assets packed for a service; local trials start in another folder."""


def masked(job: "TuningJob") -> "TuningJob":
    """Return the job without the values of its environment variables."""
    trial = job.trial.model_copy(update={"environment": dict.fromkeys(job.trial.environment, MASK)})
    return job.model_copy(update={"trial": trial})


def keep_environment(run: "RunStore", environment: Mapping[str, str]) -> None:
    """Write the values to a file that only its owner may read; the store holds none."""
    remember(environment.values())
    if environment:
        descriptor = os.open(_file(run), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(dict(environment), file)


def kept_environment(run: "RunStore") -> dict[str, str]:
    """Return the values that `keep_environment` wrote.

    Raises:
        ProviderError: the file is gone.
    """
    try:
        kept: dict[str, str] = json.loads(_file(run).read_text())
    except FileNotFoundError:
        raise ProviderError("the values of trial.environment are gone; start the job anew") from None
    remember(kept.values())
    return kept


def forget(run: "RunStore") -> None:
    """Remove what an ended run no longer needs: the values of its variables, and the code that was packed for it."""
    _file(run).unlink(missing_ok=True)
    forget_packed(run)


def forget_packed(run: "RunStore") -> None:
    """Remove the code that was packed for a run."""
    for name in PACKED:
        shutil.rmtree(run.folder / name, ignore_errors=True)


def _file(run: "RunStore") -> Path:
    return run.folder / "environment.json"
