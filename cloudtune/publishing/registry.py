"""Find the targets that runs are published to, among cloudtune's own and those of installed packages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError, in_one_line, suggest
from cloudtune.plugins.entry_points import TARGETS, installed_kinds, kind_of
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
        ConfigError: no such target is installed, it cannot be loaded, or it refuses the address.
    """
    return _class_of(name)(run, address, **settings)


def _class_of(name: str) -> type[Target]:
    point = kind_of(TARGETS, name)
    if point is None:
        raise ConfigError(
            f"there is no target {name!r} to publish to; {suggest(name, sorted(installed_kinds(TARGETS)))} "
            f"(those of other packages have to be installed: entry points {TARGETS})"
        )
    where = f"target {name!r} ({point.value}{f' of {point.dist.name}' if point.dist else ''})"
    try:
        found = point.load()
    except Exception as error:  # a package of somebody else may raise anything
        raise ConfigError(f"the {where} cannot be loaded: {in_one_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, Target)):
        raise ConfigError(f"the {where} is no subclass of cloudtune.publishing.Target")
    return found
