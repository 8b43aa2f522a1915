"""Find the provider that a user names or that a run's record says."""

from pathlib import Path

from cloudtune.config import Profile, config_near, load_profile, mounts, tables
from cloudtune.errors import ConfigError
from cloudtune.provider.interface import Provider, load_provider
from cloudtune.store.projects import project_folder
from cloudtune.store.records import ELSEWHERE, RunRecord

CONFIG = "config"
"""Key of a run's notes: the folder of a config that is nearer to its job than the project's."""


REGION = "region"
"""Key of a run's notes: the region that its job names, in the place of the profile's."""


def resolve(on: str | None, project: Path | None, base: Path | None = None) -> tuple[Provider, str, Path]:
    """Return the provider of a profile, the profile's name, and the project's folder.

    Args:
        on: a profile, a provider or an alias; None for the default profile.
        project: the folder of the config and the store; None for the one around the working folder.
        base: the job's folder, whose config counts as well; None for none.

    Raises:
        ConfigError: there is no such profile or provider.
    """
    folder = (project or project_folder()).resolve()
    near = config_near(base, folder)
    profile = load_profile(on, folder, near)
    return provider_for(profile, folder, near, base), profile.name, folder


def provider_for(profile: Profile, project: Path, near: Path | None, base: Path | None = None) -> Provider:
    """Return the provider of a profile, with what the config says of places.

    Args:
        profile: the profile.
        project: the folder whose config counts.
        near: a nearer one; see `cloudtune.config.config_near`.
        base: the folder that a job's relative paths start from; None for the working folder.

    Raises:
        ConfigError: the config or a setting is invalid.
    """
    provider = load_provider(profile.provider)(profile.settings, mounts(project, near))
    provider.tables = tables(profile, project, near, base)
    return provider


def provider_of(record: RunRecord, project: Path) -> Provider:
    """Return the provider of an existing run, by the present config and environment.

    Of one that is not installed or cannot be loaded, what the store knows can be read all the same.

    Args:
        record: of the run.
        project: the folder of its store.

    Raises:
        ConfigError: the config is invalid.
    """
    near = config_folder(record)
    try:
        settings = load_profile(record.profile, project, near).settings
    except ValueError:  # the profile was removed since; the run still can be read
        settings = {}
    try:
        load_provider(record.provider)
    except ConfigError as error:
        from cloudtune.remote.missing import MissingProvider  # noqa: PLC0415  # few runs have lost theirs

        return MissingProvider(error)
    provider = provider_for(Profile(record.profile, record.provider, settings), project, near)
    provider = provider.in_region(record.native.get(REGION))
    if ELSEWHERE in record.native:
        return driven_elsewhere(provider, record.profile, record.native[ELSEWHERE], project, near)
    return provider


def config_folder(record: RunRecord) -> Path | None:
    """Return the folder of the config that is nearer to a run's job than the project's; None for none."""
    said = record.native.get(CONFIG)
    return None if said is None else Path(said)


def driven_elsewhere(provider: Provider, profile: str, driver: str, project: Path, near: Path | None) -> Provider:
    """Return the provider of a run whose driver is a job on a service.

    Args:
        provider: of its trials.
        profile: of its trials.
        driver: the driver's profile.
        project: the folder whose config counts.
        near: a nearer one; see `cloudtune.config.config_near`.
    """
    from cloudtune.remote.provider import RemoteDriver  # noqa: PLC0415  # few runs have one

    made = load_profile(driver, project, near)
    driver_provider = provider_for(made, project, near)
    needed = load_profile(profile, project, near).providers
    return RemoteDriver(provider, (provider.name, *needed), driver_provider, driver)
