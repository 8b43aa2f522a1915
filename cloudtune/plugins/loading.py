"""Import what an entry point refers to, and tell what is wrong with it: whose it is, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cloudtune.errors import ConfigError, PluginError, in_one_line, suggest
from cloudtune.plugins.entry_points import (
    ALIASES,
    EMULATORS,
    FORMATS,
    POOLS,
    PROVIDERS,
    STOPPING,
    STRATEGIES,
    TARGETS,
    find,
    installed,
    is_own,
    rivals,
)
from cloudtune.plugins.extras import install_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

Base = TypeVar("Base")

_NOUNS = {
    PROVIDERS: "provider",
    ALIASES: "alias",
    POOLS: "pool of profiles",
    EMULATORS: "emulator of",
    FORMATS: "format",
    STRATEGIES: "strategy",
    STOPPING: "stopping rule",
    TARGETS: "target",
}
"""What messages call a plug-in of a group, before its name."""


def load(group: str, name: str, base: type[Base]) -> type[Base]:
    """Return the class that an entry point refers to.

    Args:
        group: of entry points.
        name: of the entry point.
        base: what the class derives from.

    Raises:
        ConfigError: nothing of this name is installed.
        PluginError: it cannot be imported, is no such class, or two distributions bring one of this name.
    """
    point = find(group, name)
    if point is None:
        known = suggest(name, sorted(installed(group)))
        others = f"those of other packages have to be installed: entry points {group}"
        raise ConfigError(f"there is no {_NOUNS[group]} {name!r}; {known} ({others})")
    rival = None if point.dist is None else next(iter(rivals(group, point)), None)  # of our own names none is looked up
    if rival is not None and not is_own(point):  # in this order: whose it is takes reading a distribution's metadata
        both = f"pip uninstall {_owner(point)}, or pip uninstall {_owner(rival)}"
        raise broken(point, f"has the name of another, of {_owner(rival)}", f"keep one of them: {both}")
    found = _imported(point)
    if not (isinstance(found, type) and issubclass(found, base)):
        what = "is no class" if base is object else f"is no subclass of {base.__module__}.{base.__name__}"
        raise broken(point, what)
    return found


def broken(point: EntryPoint, what: str, advice: str = "") -> PluginError:
    """Return the error that a plug-in cannot be used.

    Args:
        point: its entry point.
        what: is wrong, as it follows the plug-in's name.
        advice: what to do; "" for an update of its distribution, or none.
    """
    owner = _owner(point)
    if not advice:
        update = f"update {owner}, or go on without it: pip uninstall {owner}"
        advice = f"install it anew with: {install_plugin(point, point.name)}" if is_own(point) else update
    return PluginError(f"the {_NOUNS[point.group]} {point.name!r} ({point.value} of {owner}) {what}; {advice}")


def hidden(group: str) -> Iterator[PluginError]:
    """Yield what keeps plug-ins of other packages from being found: one that counts has the same name.

    Of two of other packages none counts, and `load` says so, unless they are no classes but names.
    """
    for point in installed(group).values():
        if is_own(point) or group in (ALIASES, POOLS):
            for other in rivals(group, point):
                yield broken(other, f"has the name of another, of {_owner(point)}, which counts")


def _imported(point: EntryPoint) -> object:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        if not error.name or _package(error.name) == _package(point.module):
            raise broken(point, f"cannot be loaded: {in_one_line(error)}") from error
        command = install_plugin(point, *([f"{point.name}-emulator"] if point.group == EMULATORS else []), point.name)
        needs = f"the {_NOUNS[point.group]} {point.name!r} needs {error.name}"
        raise PluginError(f"{needs}; install it with: {command}") from error
    except (Exception, SystemExit) as error:  # a package of somebody else may raise anything
        raise broken(point, f"cannot be loaded: {in_one_line(error)}") from error


def _package(module: str) -> str:
    return module.partition(".")[0]


def _owner(point: EntryPoint) -> str:
    """Return the name of the distribution that brings a plug-in."""
    return "cloudtune" if point.dist is None else point.dist.name
