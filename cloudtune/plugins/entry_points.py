"""The providers and formats of all installed distributions by name; no plug-in is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudtune.plugins.installed import entry_points

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PROVIDERS = "cloudtune.providers"
"""The group of entry points of providers: ``mycluster = "cloudtune_mycluster:MyClusterProvider"``."""

ALIASES = "cloudtune.aliases"
"""The group of entry points of short names of providers: ``my = "mycluster"``."""

POOLS = "cloudtune.pools"
"""The group of entry points of providers that spread a run's trials over several profiles: ``several = "several"``."""

FORMATS = "cloudtune.formats"
"""The group of entry points of formats: ``mytool = "mytool.cloudtune:MyToolFormat"``."""

DEFAULT = "local"
"""The provider that runs a job where neither the caller nor a config file names one: this machine."""

_OWN_FORMATS = {
    "katib": "cloudtune.interop.katib:Katib",
    "wandb": "cloudtune.interop.wandb:Wandb",
    "optuna": "cloudtune.interop.optuna_study:OptunaStudy",
    "hyperopt": "cloudtune.interop.python_spaces:HyperoptSpace",
    "ray-tune": "cloudtune.interop.python_spaces:RayTuneSpace",
}


def providers() -> dict[str, EntryPoint]:
    """Return the entry points of all installed providers by name."""
    return {point.name: point for point in sorted(entry_points(group=PROVIDERS))}


def aliases() -> dict[str, str]:
    """Return the names of installed providers by the short names that may stand for them.

    A short name that is a provider's own name means that provider.
    """
    installed = providers()
    said = {point.name: point.value for point in sorted(entry_points(group=ALIASES))}
    return {alias: name for alias, name in said.items() if name in installed and alias not in installed}


def pools() -> list[str]:
    """Return the names of the installed providers that run several profiles together; the first is the default one."""
    return [point.name for point in sorted(entry_points(group=POOLS))]


def formats() -> dict[str, EntryPoint]:
    """Return the entry points of all formats by name, cloudtune's own first."""
    from importlib.metadata import EntryPoint  # noqa: PLC0415  # loads parsers of mail and archives

    own = [EntryPoint(name, place, FORMATS) for name, place in _OWN_FORMATS.items()]
    return {point.name: point for point in (*own, *sorted(entry_points(group=FORMATS)))}
