"""The plug-ins of all installed distributions, by group and name; none is imported (see `cloudtune.plugins.loading`)."""

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

EMULATORS = "cloudtune.emulators"
"""The group of entry points of emulators, by their providers' names: ``mycluster = "cloudtune_mycluster.emulator:Emulator"``."""

FORMATS = "cloudtune.formats"
"""The group of entry points of formats: ``mytool = "mytool.cloudtune:MyToolFormat"``."""

STRATEGIES = "cloudtune.strategies"
"""The group of entry points of strategies: ``spiral = "cloudtune_spiral:SpiralSearch"``, by the ``type`` in the spec."""

STOPPING = "cloudtune.stopping"
"""The group of entry points of stopping rules: ``patience = "cloudtune_patience:PatienceRule"``."""

TARGETS = "cloudtune.targets"
"""The group of entry points of targets to publish to: ``board = "cloudtune_board:BoardTarget"``."""

MACHINES = "cloudtune.machines"
"""The group of entry points of what is known of a service's machines, by its provider's name; see `cloudtune.machines.data`."""

DEFAULT = "local"
"""The provider that runs a job where neither the caller nor a config file names one: this machine."""

_OWN = "cloudtune"
"""The distribution whose plug-ins outweigh those of others that have the same name."""

_OWN_PLUGINS: dict[str, dict[str, str]] = {
    FORMATS: {
        "katib": "cloudtune.interop.katib:Katib",
        "wandb": "cloudtune.interop.wandb:Wandb",
        "optuna": "cloudtune.interop.optuna_study:OptunaStudy",
        "hyperopt": "cloudtune.interop.python_spaces:HyperoptSpace",
        "ray-tune": "cloudtune.interop.python_spaces:RayTuneSpace",
        "kubeflow": "cloudtune.interop.kubeflow:Kubeflow",
    },
    STRATEGIES: {
        "grid": "cloudtune.search.grid:GridSearch",
        "random": "cloudtune.search.random_search:RandomSearch",
        "sobol": "cloudtune.search.sobol:SobolSearch",
        "bayesian": "cloudtune.search.bayesian:BayesianSearch",
        "evolutionary": "cloudtune.search.evolutionary:EvolutionarySearch",
        "population": "cloudtune.search.population:PopulationSearch",
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
        "wandb": "cloudtune.publishing.wandb:WandbTarget",
    },
}
"""Cloudtune's own formats, strategies, stopping rules and targets, as an entry point would name them."""


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name; of two with one name, cloudtune's own counts."""
    found = {name: _own(group, name) for name in _OWN_PLUGINS.get(group, ())}
    others: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group)):
        if point.name not in others or is_own(point):
            others[point.name] = point
    return {**found, **{name: point for name, point in others.items() if name not in found}}


def find(group: str, name: str) -> EntryPoint | None:
    """Return one entry point of `installed`, or None; the installed packages are read for no name of our own."""
    return _own(group, name) if name in _OWN_PLUGINS.get(group, ()) else installed(group).get(name)


def rivals(group: str, chosen: EntryPoint) -> list[EntryPoint]:
    """Return the other entry points of the group that have the name of the one that `installed` gives."""
    return [each for each in sorted(entry_points(group=group)) if each.name == chosen.name and each != chosen]


def is_own(point: EntryPoint) -> bool:
    """Return whether a plug-in is of cloudtune's own distribution."""
    return point.dist is None or point.dist.name == _OWN


def providers() -> dict[str, EntryPoint]:
    """Return the entry points of all installed providers by name."""
    return installed(PROVIDERS)


def emulators() -> dict[str, EntryPoint]:
    """Return the entry points of all installed emulators by the names of their providers."""
    return installed(EMULATORS)


def formats() -> dict[str, EntryPoint]:
    """Return the entry points of all formats by name, cloudtune's own first."""
    return installed(FORMATS)


def aliases() -> dict[str, str]:
    """Return the names of installed providers by the short names that may stand for them.

    A short name that is a provider's own name means that provider.
    """
    known = providers()
    said = {name: point.value for name, point in installed(ALIASES).items()}
    return {alias: name for alias, name in said.items() if name in known and alias not in known}


def rents_machines(provider: str) -> bool:
    """Return whether a provider's package says which machines its service rents out, so that they have a price."""
    return any(point.name == provider for point in entry_points(group=MACHINES))


def pools() -> list[str]:
    """Return the names of the installed providers that run several profiles together; the first is the default one.

    The request of their plans has the plan of each profile by its name, as data.
    """
    return list(installed(POOLS))


def _own(group: str, name: str) -> EntryPoint:
    from importlib.metadata import EntryPoint  # noqa: PLC0415  # loads parsers of mail and archives

    return EntryPoint(name, _OWN_PLUGINS[group][name], group)
