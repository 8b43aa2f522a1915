"""Whether the program of an ended run, which is packed again for it, is still the one that its trials ran."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.bundle.source import source_digests
from cloudtune.errors import ConfigError
from cloudtune.store.commands import learning_from

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

_FILE = "program.json"
_NAMED = 3
"""Most files that the message names."""


def keep_program(run: "RunStore", job: "TuningJob") -> None:
    """Write down which files of the source folder travel, with a hash of each."""
    (run.folder / _FILE).write_text(json.dumps(source_digests(job, Path(run.record().native["base"]))))


def check_program(run: "RunStore", job: "TuningJob") -> None:
    """Check that the files which travelled are still the same; files that are new do not matter.

    Raises:
        ConfigError: some have changed or are gone, or an older cloudtune did not write down what they were.
    """
    anew = f"a changed program is a new run, which learns from this one: {learning_from(run.id)}"
    try:
        before: dict[str, str] = json.loads((run.folder / _FILE).read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"an older cloudtune launched {run.id}, and did not keep what its program was; {anew}"
        ) from None
    try:
        now = source_digests(job, Path(run.record().native["base"]))
    except OSError as error:
        raise ConfigError(f"the program of {run.id} is gone ({error.filename}: {error.strerror}); {anew}") from error
    changed = [name for name, digest in before.items() if now.get(name) != digest]
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        raise ConfigError(f"{', '.join(changed[:_NAMED])}{more} changed since {run.id} was launched; {anew}")
