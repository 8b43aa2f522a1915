"""The default table of support; a provider's own table begins with it and overrides rows."""

from collections.abc import Mapping

from cloudtune.planning.plan import TOLD_BY_FOLLOWER, Support

SupportTable = Mapping[str, tuple[Support, str]]
"""A path of the spec, or a field and one of its ways, → support and a remark."""

EXACT = (Support.EXACT, "")

DEFAULT_SUPPORT: SupportTable = {
    **dict.fromkeys(
        (
            "name", "trial.source", "trial.ignore", "trial.command", "trial.function", "trial.image", "trial.environment",
            "objective", "constraints", "metrics", "space", "require", "strategy", "first", "stopping", "limits", "retries", "warm_start", "confirm", "mode", "strict", "notify",
            "compute.instance", "compute.count", "compute.accelerators", "compute.cpus", "compute.memory", "compute.disk",
            "compute.spot", "compute.max_wait", "compute.keep", "data", "output", "network", "identity", "encryption", "tags",
        ),
        EXACT,
    ),
    "region": (Support.ENCODED, "trials run there, in the place of the profile's own region"),
    "native": (Support.APPROXIMATE, "settings of another provider: of no effect here"),
}  # fmt: skip
"""Every field, as a provider carries it that has a field of its own for each."""


def tuner_support(service: str, tuner: str, plain_job: str) -> SupportTable:
    """Return the default table of a service with a tuner of its own, for what most such services lack.

    Args:
        service: its name in messages, e.g. ``Vertex AI``.
        tuner: the name of its tuner in messages, e.g. ``Vertex AI's tuner``.
        plain_job: the service's job that runs one driven trial, e.g. ``a custom job``.
    """
    driven = f"cloudtune's driver asks, with {plain_job} a trial"
    watched = (Support.WATCHED, f"{service} has no such limit: {STOPPED_BY_FOLLOWER}")
    by_machine = (Support.APPROXIMATE, "the machine type decides; choose one that has it (compute.instance)")
    return {
        **DEFAULT_SUPPORT,
        "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
        "objective.source": (Support.ENCODED, "the trial helper hears it in the program's own process, and reports it from there"),
        "objective.source.native": (Support.UNSUPPORTED, "the program starts without the trial helper, which is what hears it; take the source away"),
        "objective.several": (Support.DRIVEN, f"{tuner} has one objective: {driven}"),
        "constraints": (Support.DRIVEN, f"{tuner} knows no constraints: {driven}"),
        "space.driven": (Support.DRIVEN, f"the program reads what the service sends, which cannot say this: {driven}"),
        "require": (Support.DRIVEN, f"{tuner} cannot be told which combinations are allowed: {driven}"),
        "strategy.driven": (Support.DRIVEN, f"{tuner} has no such strategy, or not this setting of it: {driven}"),
        "strategy.prior": (Support.APPROXIMATE, f"{tuner} takes no beliefs: left out; mode: driven goes by them"),
        "strategy.cost_aware": (
            Support.APPROXIMATE, f"{tuner} does not go by what trials cost: left out; mode: driven does",
        ),
        "first": (Support.DRIVEN, f"{tuner} tries no values of yours first: {driven}"),
        "stopping": (Support.DRIVEN, f"{tuner} has no such rule: {driven}"),
        "limits.failed": watched,
        "limits.target": watched,
        "limits.no_improvement": watched,
        "limits.cost": watched,
        "retries": (Support.DRIVEN, f"{tuner} tries again after errors of its own alone: {driven}"),
        "warm_start": (Support.DRIVEN, f"{tuner} learns from no other job: {driven}"),
        "confirm": (Support.DRIVEN, f"{tuner} runs no trial again with another seed: {driven}"),
        "notify": (Support.WATCHED, TOLD_BY_FOLLOWER),
        "compute.accelerators": by_machine,
        "compute.cpus": by_machine,
        "compute.memory": by_machine,
    }  # fmt: skip


STOPPED_BY_FOLLOWER = "the process that follows the run stops it"
"""What becomes of a limit that a service does not have."""
