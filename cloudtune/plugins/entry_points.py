"""The providers, formats, strategies, stopping rules and targets of all installed distributions; no plug-in is imported."""

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

STRATEGIES = "cloudtune.strategies"
"""The group of entry points of strategies: ``spiral = "cloudtune_spiral:SpiralSearch"``, by the ``type`` in the spec."""

STOPPING = "cloudtune.stopping"
"""The group of entry points of stopping rules: ``patience = "cloudtune_patience:PatienceRule"``."""

TARGETS = "cloudtune.targets"
"""The group of entry points of targets to publish to: ``board = "cloudtune_board:BoardTarget"``."""

DEFAULT = "local"
"""The provider that runs a job where neither the caller nor a config file names one: this machine."""

_OWN_FORMATS = {
    "katib": "cloudtune.interop.katib:Katib",
    "wandb": "cloudtune.interop.wandb:Wandb",
    "optuna": "cloudtune.interop.optuna_study:OptunaStudy",
    "hyperopt": "cloudtune.interop.python_spaces:HyperoptSpace",
    "ray-tune": "cloudtune.interop.python_spaces:RayTuneSpace",
}

_OWN_KINDS = {
    STRATEGIES: {
        "grid": "cloudtune.search.grid:GridSearch",
        "random": "cloudtune.search.random_search:RandomSearch",
        "sobol": "cloudtune.search.sobol:SobolSearch",
        "bayesian": "cloudtune.search.bayesian:BayesianSearch",
        "evolutionary": "cloudtune.search.evolutionary:EvolutionarySearch",
        "optuna": "cloudtune.search.optuna_sampler:OptunaSearch",
        "hyperopt": "cloudtune.search.hyperopt_tpe:HyperoptSearch",
    },
    STOPPING: {
        "median": "cloudtune.search.stopping.rules:MedianRule",
        "bandit": "cloudtune.search.stopping.rules:BanditRule",
        "truncation": "cloudtune.search.stopping.rules:TruncationRule",
        "curve": "cloudtune.search.stopping.curves:CurveRule",
        "asha": "cloudtune.search.stopping.rules:AshaRule",
        "auto": "cloudtune.search.stopping.rules:AutoRule",
    },
    TARGETS: {
        "optuna": "cloudtune.publishing.optuna:OptunaTarget",
        "mlflow": "cloudtune.publishing.mlflow:MlflowTarget",
        "tensorboard": "cloudtune.publishing.tensorboard:TensorBoardTarget",
    },
}
"""Cloudtune's own strategies, stopping rules and targets, as an entry point would name them."""


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


def installed_kinds(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of `STRATEGIES`, `STOPPING` or `TARGETS` by name; cloudtune's own outweigh others."""
    own = [_own_kind(group, name) for name in _OWN_KINDS[group]]
    return {point.name: point for point in (*sorted(entry_points(group=group)), *own)}


def kind_of(group: str, name: str) -> EntryPoint | None:
    """Return one entry point of `installed_kinds`, or None; the installed packages are read for no name of our own."""
    return _own_kind(group, name) if name in _OWN_KINDS[group] else installed_kinds(group).get(name)


def _own_kind(group: str, name: str) -> EntryPoint:
    from importlib.metadata import EntryPoint  # noqa: PLC0415  # loads parsers of mail and archives

    return EntryPoint(name, _OWN_KINDS[group][name], group)
