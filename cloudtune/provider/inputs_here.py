"""Inputs in the cloud of trials that run where only folders of this machine can be read."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cloudtune.config import mounted
from cloudtune.planning.missing import PLACES, Missing
from cloudtune.planning.plan import Note, Support
from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.porting.adapted import Adapted
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.places import is_local


def with_missing_inputs(job: TuningJob, provider: str, mounts: Mapping[str, Path]) -> Adapted:
    """Return a job as it is, with the lines to add for each input for which no folder of this machine is said.

    Args:
        job: the spec.
        provider: of the trials.
        mounts: folders that stand for places in the cloud; see `cloudtune.config.mounts`.
    """
    missing = tuple(_missing(job, provider, mounts))
    message = "{} is not on this machine; give a folder or file here under the provider's own key, or in cloudtune.toml"
    notes = tuple(Note(each.path, Support.UNSUPPORTED, message.format(each.key)) for each in missing)
    return Adapted(job, notes, missing)


def _missing(job: TuningJob, provider: str, mounts: Mapping[str, Path]) -> Iterator[Missing]:
    for name, value in job.data.items():
        own = pick(value, provider)
        if own is not None and is_local(own):
            continue
        places = [own] if own is not None else list(value.values()) if isinstance(value, dict) else []
        if not any(mounted(place, mounts) for place in places):
            yield Missing(f"data.{name}", PLACES, places[0].rstrip("/"), f"./data/{name}", service=DEFAULT)
