"""Where tests can really run jobs, for every installed provider: a service's emulator, or this machine."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray_clusters  # first, since it says by the environment how Ray shall be imported
import slurm_clusters

from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import emulators
from cloudtune.provider.emulated import emulator_of
from cloudtune.provider.interface import load_provider


@dataclass(frozen=True, slots=True)
class Place:
    """A place to run jobs.

    Attributes:
        on: the profile that leads there.
        project: the folder of the config and the store.
        extras: fields that jobs need there.
        environment: variables by which a service's own clients find its emulator; whoever uses the place sets them.
    """

    on: str
    project: Path
    extras: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def place_of(provider: str, project: Path) -> Iterator[Place]:
    """A place of a provider, for as long as the context lasts; skips the test where the provider's package is missing."""
    try:
        load_provider(provider)
    except ConfigError as error:
        pytest.skip(str(error))
    if provider in PLACES:
        with PLACES[provider](project) as place:
            yield place
    elif provider in emulators():
        with emulator_of(provider).standing_in({}) as emulator:
            write_profiles(project, emulated=profile_of(provider, emulator.environment))
            yield Place("emulated", project, environment=others_in(emulator.environment))
    else:
        pytest.fail(f"give {provider} an entry in PLACES, so that its jobs can be run by tests")


def group_of(provider: str, tests: str) -> pytest.MarkDecorator:
    """Return the mark of tests of a provider's place: one worker runs them all, since each would make a place of its own.

    Args:
        provider: its name.
        tests: what they are called; those on Ray or Slurm belong to its own tests, which have a cluster already, those on a
            service to its own, which have loaded its SDK.
    """
    return pytest.mark.xdist_group(provider if provider in ("ray", "slurm", *emulators()) else tests)


def profile_of(provider: str, variables: Mapping[str, str]) -> dict[str, str]:
    """What an emulator's environment variables say as a profile, which looks at the service often; each look takes as much CPU as a trial."""
    prefix = f"CLOUDTUNE_{provider.upper()}_"
    own = {name.removeprefix(prefix).lower(): value for name, value in variables.items() if name.startswith(prefix)}
    return {"provider": provider, **own, "poll": "0.15"}


def others_in(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of an emulator's environment variables that are not cloudtune's own."""
    return {name: value for name, value in variables.items() if not name.startswith("CLOUDTUNE_")}


def write_profiles(project: Path, **profiles: Mapping[str, Any]) -> None:
    """Writes profiles into the project's config."""
    lines = []
    for name, settings in profiles.items():
        lines += [f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    (project / "cloudtune.toml").write_text("\n".join([*lines, ""]))


@contextmanager
def _this_machine(project: Path) -> Iterator[Place]:
    yield Place("local", project, {"local": {"grace": 0.2}})


@contextmanager
def _this_machine_and_an_emulator(project: Path) -> Iterator[Place]:
    with emulator_of("vertex").standing_in({}) as emulator:
        variables = emulator.environment
        both = {"provider": "mixed", "profiles": ["here", "there"]}
        write_profiles(project, here={"provider": "local"}, there=profile_of("vertex", variables), both=both)
        yield Place("both", project, {"local": {"grace": 0.2}}, others_in(variables))


@contextmanager
def _a_cluster(project: Path) -> Iterator[Place]:
    pytest.importorskip("ray")
    with ray_clusters.connected() as made:
        write_profiles(project, cluster={"provider": "ray", "address": made.address})
        yield Place("cluster", project, {"ray": {"grace": 0.2, "num_cpus": 0.5}})


@contextmanager
def _a_slurm_cluster(project: Path) -> Iterator[Place]:
    with slurm_clusters.connected():
        write_profiles(project, cluster=slurm_clusters.PROFILE)
        yield Place("cluster", project, {"slurm": {"grace": 0.2}})


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "local": _this_machine,
    "mixed": _this_machine_and_an_emulator,
    "ray": _a_cluster,
    "slurm": _a_slurm_cluster,
}
"""The places of providers that have no emulator of their own."""
