"""The providers and formats of all installed distributions by name; no plug-in is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudtune.plugins.installed import entry_points

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PROVIDERS = "cloudtune.providers"
"""The group of entry points of providers: ``mycluster = "cloudtune_mycluster:MyClusterProvider"``."""

FORMATS = "cloudtune.formats"
"""The group of entry points of formats: ``mytool = "mytool.cloudtune:MyToolFormat"``."""

ALIASES = {"aws": "sagemaker", "gcp": "vertex", "azure": "azureml"}
"""Short names that may stand for a provider where no profile of that name exists."""

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


def formats() -> dict[str, EntryPoint]:
    """Return the entry points of all formats by name, cloudtune's own first."""
    from importlib.metadata import EntryPoint  # noqa: PLC0415  # loads parsers of mail and archives

    own = [EntryPoint(name, place, FORMATS) for name, place in _OWN_FORMATS.items()]
    return {point.name: point for point in (*own, *sorted(entry_points(group=FORMATS)))}
