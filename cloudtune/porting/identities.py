"""Port the role or service account that trials run as."""

from cloudtune.planning.plan import Support
from cloudtune.porting.change import Change
from cloudtune.porting.words import is_foreign


def port_identity(change: Change) -> None:
    """Replace an identity of another service by the profile's, or leave it to the service where it needs none."""
    value, words = change.job.identity, change.words
    own = change.said(value)
    if own is None or change.names_service(value) or not is_foreign("identity", own, words):
        return
    default = change.default("identity")
    if default is None and (example := words.examples.get("identity")):
        message = f"{own} is another service's: which identity do trials have on {words.service}?"
        change.miss_setting("identity", "identity", example, message)
        return
    who = f"{words.service}'s own" if default is None else f"{default}, the profile's own"
    change.note("identity", Support.APPROXIMATE, f"trials run as {who}: {own} is another service's")
    change.update(identity=change.replaced(value, default))
