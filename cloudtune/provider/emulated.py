"""Emulators that this process starts for runs, and the variables that lead to them."""

import atexit
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.config import load_profile, mounts
from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import EMULATORS, emulators
from cloudtune.plugins.loading import load
from cloudtune.store.projects import project_folder
from cloudtune.system.processes import HAS_PROCESS_GROUPS, NO_TRIALS_HERE

if TYPE_CHECKING:
    from cloudtune.emulation.emulator import Emulator


def emulator_of(provider: str) -> "type[Emulator[Any]]":
    """Return the emulator of a provider's service.

    Args:
        provider: its name.

    Raises:
        ConfigError: there is none, or this system cannot run an emulator's jobs.
        PluginError: it cannot be loaded, or what it needs is not installed.
    """
    if not HAS_PROCESS_GROUPS:
        raise ConfigError(f"an emulator runs its jobs as processes of this machine: {NO_TRIALS_HERE}")
    from cloudtune.emulation.emulator import Emulator  # noqa: PLC0415  # most runs start none

    return load(EMULATORS, provider, Emulator)  # type: ignore[type-abstract]


# Starting emulators for runs


leading_there: dict[str, str] = {}
"""The environment variables by which this process finds the emulators that it started."""


@contextlib.contextmanager
def emulated(
    on: str | None = None,
    *,
    driver: str | None = None,
    project: Path | None = None,
    near: Path | None = None,
    services: Sequence[str] = (),
) -> Iterator[Mapping[str, str]]:
    """Start the emulators of a profile's services; within the context, this process and its children use them.

    A profile of several others starts one for each service; providers that run on this machine need none.

    Args:
        on: a profile, a provider or an alias; None for the default profile.
        driver: the profile of a driver that runs elsewhere; None for none.
        project: the folder whose config counts; None for the one around the working folder.
        near: a nearer folder whose config counts as well; see `cloudtune.config.config_near`.
        services: further providers whose services are asked: those of the job's strategy (`StrategySpec.services`).

    Yields:
        The environment variables that lead to the emulators; they are set within the context.

    Raises:
        ConfigError: there is no such profile or provider, or its service has no emulator.
    """
    folder = (project or project_folder()).resolve()
    with contextlib.ExitStack() as stack:
        variables: dict[str, str] = {}
        for name in emulators_for(on, driver, folder, near, services):
            variables |= stack.enter_context(emulator_of(name).standing_in(_mounts_of(name, folder, near))).environment
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        leading_there.update(variables)
        try:
            yield variables
        finally:
            for name in variables:
                leading_there.pop(name, None)
            for name, value in before.items():
                os.environ.pop(name)
                os.environ.update({} if value is None else {name: value})


def _mounts_of(provider: str, project: Path, near: Path | None) -> dict[str, Path]:
    """Return the mounts at places of a provider's own service: those at another's are no places of its storage."""
    from cloudtune.porting.words import words_of  # noqa: PLC0415  # most runs start none

    words = words_of(provider)
    return {place: folder for place, folder in mounts(project, near).items() if words is None or words.writes(place)}


def emulators_for(
    on: str | None, driver: str | None, project: Path, near: Path | None, services: Sequence[str] = ()
) -> list[str]:
    """Return the providers of profiles whose services have an emulator; the first one, if none has, to be refused.

    Args:
        on: as in `emulated`.
        driver: as in `emulated`.
        project: the folder whose config counts.
        near: as in `emulated`.
        services: as in `emulated`.

    Raises:
        ConfigError: there is no such profile or provider.
    """
    profiles = [load_profile(name, project, near) for name in ([on] if driver is None else [on, driver])]
    of_profiles = (name for profile in profiles for name in profile.providers)
    names = list(dict.fromkeys([*of_profiles, *services]))
    return [name for name in names if name in emulators()] or names[:1]


_emulators = contextlib.ExitStack()
"""The emulators of `emulate`; they end with this process."""

_started: set[str] = set()
"""The providers that have one."""


def emulate(
    on: str | None,
    driver: str | None,
    project: Path | None,
    near: Path | None = None,
    services: Sequence[str] = (),
) -> None:
    """Start the emulators that a profile needs, as `emulated`; they live until this process ends."""
    needed = emulators_for(on, driver, (project or project_folder()).resolve(), near, services)
    for provider in [name for name in needed if name not in _started]:
        if not _started:
            atexit.register(_emulators.close)
        _emulators.enter_context(emulated(provider, project=project, near=near))
        _started.add(provider)
