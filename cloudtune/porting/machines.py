"""Port the machines that trials run on."""

from cloudtune.planning.plan import Support
from cloudtune.porting.change import Change
from cloudtune.porting.words import is_foreign


def port_machines(change: Change) -> None:
    """Replace a machine type of another service by the profile's, or leave it to the provider's default."""
    value = change.job.compute.instance
    own = change.said(value)
    if own is None or not is_foreign("machine", own, change.words):
        return
    default = change.default("instance")
    which = f"the machine type that {change.words.service}'s provider chooses" if default is None else f"{default}, the profile's own"  # fmt: skip
    change.note("compute.instance", Support.APPROXIMATE, f"{which}: {own} is another service's")
    change.update("compute", instance=change.replaced(value, default))
