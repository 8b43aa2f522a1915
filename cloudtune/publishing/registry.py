"""Find the targets that runs are published to, among cloudtune's own and those of installed packages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.plugins.entry_points import TARGETS
from cloudtune.plugins.loading import load
from cloudtune.publishing.target import Target

if TYPE_CHECKING:
    from cloudtune.results.view import RunView


def target_of(name: str, run: "RunView", address: Any, settings: Mapping[str, Any]) -> Target:
    """Return the target of a name for a run.

    Args:
        name: of the entry point.
        run: what to publish.
        address: where to, as the target takes it: a text, for some also an object.
        settings: further keyword arguments of the target.

    Raises:
        ConfigError: no such target is installed, or it refuses the address.
        PluginError: it cannot be loaded.
    """
    return load(TARGETS, name, Target)(run, address, **settings)  # type: ignore[type-abstract]
