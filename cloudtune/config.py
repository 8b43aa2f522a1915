"""Profiles: names of providers with their settings.

``cloudtune.toml`` lies in the project's folder or beside the job (or in a folder above it), another in the user's
config folder::

    default = "laptop"

    [profiles.laptop]
    provider = "local"

    [profiles.team]
    provider = "sagemaker"
    region = "eu-west-1"

    [profiles.anywhere]
    provider = "mixed"
    profiles = ["team", "laptop"]

    [places]
    "s3://corp/train" = {vertex = "gs://corp/train", azure = "azureml://datastores/corp/paths/train", local = "./data/train"}

    [mounts]
    "s3://bucket/train" = "./data/train"

    [prices.sagemaker]
    discount = "12%"

    [notify.team]
    slack = "${SLACK_WEBHOOK_URL}"

Several profiles form a profile: its provider spreads the trials of a run over them. ``team,laptop`` is short for it.
Places say where the same data lies on each service, so that a job that names one of them runs on all (`cloudtune.porting`).
Where a job runs on this machine, a mount's folder replaces the place in the cloud, so that the same job runs offline; it
is a place with ``local`` alone.
What machines cost the user, `cloudtune.machines.own_prices` reads. Who is told how runs go, `cloudtune.spec.notify` says.
The nearest setting takes precedence: argument, environment (``CLOUDTUNE_PROFILE``, and ``CLOUDTUNE_SAGEMAKER_REGION``
for a setting), the job's file, project file, user file.

The project is the nearest folder above the *working* folder that has a ``cloudtune.toml`` or a ``.cloudtune`` with a
store, else the working folder, wherever the job lies: all commands in one folder find the same runs.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError, SpecError, nearest
from cloudtune.plugins.entry_points import DEFAULT, aliases, pools, providers
from cloudtune.spec.text.files import read_file
from cloudtune.store.projects import FILE

if TYPE_CHECKING:
    from cloudtune.machines.catalogue import Catalogue
    from cloudtune.machines.own_prices import PriceTables
    from cloudtune.porting.places import Places
    from cloudtune.porting.tables import Tables
    from cloudtune.spec.notify import Channel

_KEYS = ("default", "confirm_above", "profiles", "places", "mounts", "prices", "notify")

_CONFIRM_ABOVE = Decimal(10)
"""The cost of a run, in the currency of its prices, above which a launch is asked about where no file says another."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A provider with settings.

    Attributes:
        name: the user's name for it.
        provider: the provider's name.
        settings: all other keys of the profile, for the provider.
        members: the profiles that it consists of, if it is several.
    """

    name: str
    provider: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    members: "tuple[Profile, ...]" = ()

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that run trials, each once."""
        return tuple(dict.fromkeys(member.provider for member in self.members)) or (self.provider,)


def config_near(base: Path | None, project: Path) -> Path | None:
    """Return the nearest folder above a job's with a ``cloudtune.toml``; None if it is the project's, or none exists.

    Args:
        base: the job's folder; None for a job of no folder's.
        project: the project's.
    """
    if base is None:
        return None
    origin = base.resolve()
    found = next((folder for folder in (origin, *origin.parents) if (folder / FILE).is_file()), None)
    return None if found == project.resolve() else found


def user_file() -> Path:
    """Return the path of the user's own config file."""
    root = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(root) / "cloudtune" / FILE


def _files(project: Path, near: Path | None) -> list[Path]:
    """Return the config files, those that take precedence last."""
    return [user_file(), project / FILE, *([near / FILE] if near is not None else [])]


def profiles(project: Path, near: Path | None = None) -> dict[str, Profile]:
    """Return all profiles of the user's file, the project's and the job's, merged key by key; the nearer file wins.

    Settings without a provider are left out: they complete profiles of other projects.

    Args:
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file is not TOML, or has keys that are not known.
    """
    merged = _merged(project, near)
    return {name: _profile(name, settings) for name, settings in merged.items() if "provider" in settings}


def _merged(project: Path, near: Path | None) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for path in _files(project, near):
        for name, settings in _read(path).get("profiles", {}).items():
            merged.setdefault(name, {}).update(settings)
    return merged


def places(project: Path, near: Path | None = None) -> "Places":
    """Return the places that hold the same data on several services; the nearer file wins.

    Args:
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file is not TOML, or its places are not valid.
    """
    from cloudtune.porting.places import Place, Places  # noqa: PLC0415  # profiles are read where nothing is ported

    found: list[Place] = []
    for path in _files(project, near):
        if "places" in (data := _read(path)):
            from cloudtune.porting.reading import read_places  # noqa: PLC0415  # loads the words of services

            found += read_places(data["places"], path, read_file(path))
    return Places(found)


def tables(profile: Profile, project: Path, near: Path | None = None, base: Path | None = None) -> "Tables":
    """Return what the config says that a job for a profile can be ported by.

    Args:
        profile: the profile.
        project: the project's folder.
        near: the result of `config_near`.
        base: the folder that the job's relative paths start from.

    Raises:
        ConfigError: a file is not TOML, or its places are not valid.
    """
    from cloudtune.porting.tables import Tables  # noqa: PLC0415  # profiles are read where nothing is ported

    known = tuple(_merged(project, near))
    planned = {each.name: each for each in (profile, *profile.members)}

    def find(name: str) -> "Catalogue":
        return catalogue_of(planned[name], project, near)

    own_prices = any("prices" in _read(path) for path in _files(project, near))
    return Tables(places(project, near), profile.name, known, profile.settings, base, find, own_prices)


def mounts(project: Path, near: Path | None = None) -> dict[str, Path]:
    """Return folders of this machine by the places in the cloud that they replace; the nearer file wins.

    Those are the mounts, and the places that lie on this machine as well; a mount wins over a place.

    Args:
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file is not TOML, or its mounts or places are not valid.
    """
    found = places(project, near).mounts()
    for path in _files(project, near):
        for place, folder in _read(path).get("mounts", {}).items():
            found[place.rstrip("/")] = (path.parent / Path(folder).expanduser()).resolve()
    return found


def price_tables(project: Path, near: Path | None = None) -> "PriceTables":
    """Return the prices of the user's own; the nearer file wins.

    Args:
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file is not TOML, or its prices are not valid.
    """
    from cloudtune.machines.own_prices import PriceTables  # noqa: PLC0415  # few commands look at prices

    tables = PriceTables()
    for path in _files(project, near):
        if "prices" in (data := _read(path)):
            tables.add(data["prices"], str(path), aliases())
    return tables


def channels(project: Path, near: Path | None = None) -> "dict[str, Channel]":
    """Return the channels that are told how runs go, by name; of two files with one name the nearer one's counts.

    Args:
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file is not TOML, or a channel is not valid.
    """
    found: dict[str, Channel] = {}
    for path in _files(project, near):
        if "notify" in (data := _read(path)):
            from cloudtune.spec.channels import read_channels  # noqa: PLC0415  # few projects have any

            found |= read_channels(data["notify"], str(path))
    return found


def catalogue_of(profile: Profile, project: Path, near: Path | None = None) -> "Catalogue":
    """Return the machines of a profile's service, with what they cost this user.

    Args:
        profile: the profile.
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file's prices are not valid, or those that were fetched are damaged.
    """
    from cloudtune.machines.catalogue import catalogue  # noqa: PLC0415  # few commands look at machines
    from cloudtune.machines.prices import Prices  # noqa: PLC0415

    own = price_tables(project, near).of((profile.provider, profile.name))
    return catalogue(profile.provider, Prices.listed(profile.provider, own))


def mounted(place: str, table: Mapping[str, Path]) -> Path | None:
    """Return the file or folder of this machine that replaces a place in the cloud; None if none does.

    Args:
        place: such as ``s3://bucket/train/part.csv``.
        table: the result of `mounts`; the longest matching place wins.
    """
    for mount in sorted(table, key=len, reverse=True):
        if place.rstrip("/") == mount or place.startswith(f"{mount}/"):
            return table[mount] / place[len(mount) :].strip("/")
    return None


def load_profile(name: str | None, project: Path, near: Path | None = None) -> Profile:
    """Return a profile by its name; a provider or an alias (aws, gcp, azure) is a profile without settings.

    Args:
        name: None for the one that the environment or a config file names, else ``local``; names with commas between
            them for several together.
        project: the folder whose config counts.
        near: a nearer one whose config takes precedence: the result of `config_near`.

    Raises:
        ConfigError: there is no such profile or provider.
    """
    known = _merged(project, near)
    chosen = name or os.environ.get("CLOUDTUNE_PROFILE") or _default(project, near)
    if chosen in known:
        return _with_members(_profile(chosen, known[chosen]), project, near)
    if "," in chosen:
        return _with_members(Profile(chosen, _pool(), {"profiles": chosen.split(",")}), project, near)
    provider = aliases().get(chosen, chosen)
    if provider == DEFAULT or provider in providers():
        return _profile(chosen, {"provider": provider})
    names = sorted({*known, *providers(), *aliases()})
    raise ConfigError(
        f"there is no profile or provider {chosen!r}{_nearest(chosen, names)}; known are: {', '.join(names)}"
    )


def _with_members(profile: Profile, project: Path, near: Path | None) -> Profile:
    """Return a profile with its members and their settings, if it consists of several."""
    if profile.provider not in pools():
        return profile
    said = profile.settings.get("profiles", ())
    names = [name.strip() for name in (said.split(",") if isinstance(said, str) else said)]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f'the profile {profile.name!r} needs profiles = ["…", "…"], each of them once; not {said!r}')
    members = tuple(load_profile(name, project, near) for name in names)
    nested = [member.name for member in members if member.members]
    if nested:
        raise ConfigError(f"{nested[0]!r} is several profiles already; name them in {profile.name!r} one by one")
    settings = {**profile.settings, "profiles": {each.name: [each.provider, dict(each.settings)] for each in members}}
    return Profile(profile.name, profile.provider, settings, members)


def _pool() -> str:
    """Return the provider of several profiles together.

    Raises:
        ConfigError: none is installed.
    """
    for name in pools():
        return name
    raise ConfigError("no installed provider runs several profiles together; name one profile")


def _default(project: Path, near: Path | None) -> str:
    for path in reversed(_files(project, near)):
        default = _read(path).get("default")
        if default is not None:
            return str(default)
    return DEFAULT


def confirm_above(project: Path, near: Path | None = None) -> Decimal:
    """Return the cost, in the currency of the prices, above which a launch is asked about.

    Args:
        project: the project's folder.
        near: the result of `config_near`.

    Raises:
        ConfigError: a file is not TOML, or says no number.
    """
    for path in reversed(_files(project, near)):
        said = _read(path).get("confirm_above")
        if said is not None:
            return Decimal(str(said))
    return _CONFIRM_ABOVE


def _profile(name: str, settings: Mapping[str, Any]) -> Profile:
    own = dict(settings)
    provider = own.pop("provider", None)
    if not isinstance(provider, str):
        raise ConfigError(
            f'the profile {name!r} names no provider; write provider = "{DEFAULT}" (or another) below [profiles.{name}]'
        )
    prefix = f"CLOUDTUNE_{provider.upper()}_"
    said = {key.removeprefix(prefix).lower(): value for key, value in os.environ.items() if key.startswith(prefix)}
    return Profile(name, provider, {**(_not_said(own, said, provider) if said else own), **said})


def _not_said(own: Mapping[str, Any], said: Mapping[str, str], provider: str) -> dict[str, Any]:
    """Return a profile's settings without those that the environment says, be it by another name of the same."""
    from cloudtune.porting.words import words_of  # noqa: PLC0415  # few settings come from the environment

    words = words_of(provider)
    names = {} if words is None else words.settings
    given = {names.get(key, key) for key in said}
    return {key: value for key, value in own.items() if names.get(key, key) not in given}


def _read(path: Path) -> dict[str, Any]:
    try:
        text = read_file(path)
    except (FileNotFoundError, NotADirectoryError):  # the latter below /dev/null, the home of services' users
        return {}
    except SpecError as error:
        raise ConfigError(f"{path} cannot be read: {error.problems[0]}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    data = _parsed(text, path)
    _check(data, path)
    return data


def _parsed(text: str, path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  # most projects have no config

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _check(data: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError for data that is not a valid config."""
    for key in data:
        if key not in _KEYS:
            raise ConfigError(
                f"{path}: unknown key {key!r}{_nearest(key, list(_KEYS))}; known are default, confirm_above, [profiles.NAME], [places], [mounts], [prices] and [notify.NAME]"
            )
    if not isinstance(data.get("default", ""), str):
        raise ConfigError(f'{path}: default must be the name of a profile, e.g. default = "{DEFAULT}"')
    above = data.get("confirm_above", 0)
    if isinstance(above, bool) or not isinstance(above, int | float) or not 0 <= above < math.inf:
        raise ConfigError(
            f"{path}: confirm_above is an amount of money in the currency of the prices, e.g. confirm_above = 10"
        )
    if "prices" in data:
        from cloudtune.machines.own_prices import PriceTables  # noqa: PLC0415  # few projects have prices of their own

        PriceTables().add(data["prices"], str(path), aliases())
    if "notify" in data:
        from cloudtune.spec.channels import read_channels  # noqa: PLC0415  # few commands tell anybody

        read_channels(data["notify"], str(path))
    _check_tables(data, path)


def _check_tables(data: Mapping[str, Any], path: Path) -> None:
    tables = data.get("profiles", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{path}: profiles are tables; write [profiles.NAME] and its settings below")
    table = data.get("mounts", {})
    if not isinstance(table, dict) or not all(isinstance(folder, str) for folder in table.values()):
        raise ConfigError(f'{path}: mounts are folders by places; write [mounts] and below it "s3://bucket/x" = "./x"')
    for place in table:
        if "://" not in place:
            raise ConfigError(
                f"{path}: the mount {place!r} is no place in the cloud; write s3://bucket/prefix or the like"
            )


def _nearest(word: str, words: list[str]) -> str:
    near = nearest(word, words)
    return f"; did you mean {near!r}?" if near else ""
