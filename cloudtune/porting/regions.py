"""Port the region that trials run in: the job's, if it is one of this service's, in the place of the profile's."""

from cloudtune.machines.data import services
from cloudtune.machines.prices import shipped
from cloudtune.planning.plan import Support, said_for
from cloudtune.porting.change import Change
from cloudtune.porting.words import ServiceWords
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob


def named_region(job: TuningJob, words: ServiceWords) -> str | None:
    """Return the region of a service that a job names; None for none, and for one that is known as another service's."""
    own = pick(job.region, words.provider)
    if own is None or isinstance(job.region, dict) or own in _regions(words.provider):
        return own
    return None if any(own in _regions(service) for service in services()) else own


def _regions(service: str) -> set[str]:
    return {region for _, region in shipped(service)}


def port_region(change: Change) -> None:
    """Note what the job's region means here; the provider was made for it, see `cloudtune.provider.Provider.in_region`."""
    value, words = change.job.region, change.words
    if value is None:
        return
    own, path = pick(value, words.provider), "region" if isinstance(value, str) else f"region.{words.provider}"
    if own is not None:
        change.note(path, *_meaning(change, own))
    for other in value.keys() - {words.provider} if isinstance(value, dict) else ():
        change.note(f"region.{other}", *said_for(other))
    change.update(region=None)


def _meaning(change: Change, own: str) -> tuple[Support, str]:
    here = change.default("region")
    where = here or f"the region that {change.words.service}'s own configuration names"
    if named_region(change.job, change.words) is None:
        return Support.APPROXIMATE, f"{own} is another service's region: trials run in {where}"
    if change.words.fixed_region:
        return Support.APPROXIMATE, f"{change.words.fixed_region}; the prices are those of {own}"
    if own != here:
        return Support.APPROXIMATE, f"the profile decides here: trials run in {where}"
    return Support.ENCODED, f"trials run in {own}, in the place of the profile's own region"
