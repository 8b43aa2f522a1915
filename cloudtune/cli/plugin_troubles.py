"""What is wrong with installed plug-ins, for the commands that list what is installed."""

from collections.abc import Iterator

import click

from cloudtune.errors import PluginError
from cloudtune.plugins.entry_points import (
    ALIASES,
    EMULATORS,
    FORMATS,
    POOLS,
    PROVIDERS,
    TARGETS,
    installed,
    is_own,
)
from cloudtune.plugins.loading import hidden, load


def tell(errors: Iterator[PluginError]) -> None:
    """Print each error once, to stderr."""
    for message in dict.fromkeys(map(str, errors)):
        click.echo(f"note: {message}", err=True)


def of_kinds() -> Iterator[PluginError]:
    """Yield what is wrong with the strategies and stopping rules of other packages."""
    from cloudtune.spec.stopping import STOPPING_KINDS  # noqa: PLC0415  # loads pydantic
    from cloudtune.spec.strategies import STRATEGY_KINDS  # noqa: PLC0415

    for kinds in (STRATEGY_KINDS, STOPPING_KINDS):
        yield from hidden(kinds.group)
        yield from kinds.models()[1]


def of_all_but_providers() -> Iterator[PluginError]:
    """Yield what is wrong with the plug-ins of other packages; of providers, only that another one hides them."""
    from cloudtune.emulation.emulator import Emulator  # noqa: PLC0415  # not for `cloudtune schema`
    from cloudtune.interop.formats import Format  # noqa: PLC0415
    from cloudtune.publishing.target import Target  # noqa: PLC0415

    yield from of_kinds()
    for group in (PROVIDERS, ALIASES, POOLS):
        yield from hidden(group)
    bases: dict[str, type[object]] = {EMULATORS: Emulator, FORMATS: Format, TARGETS: Target}
    for group, base in bases.items():
        yield from hidden(group)
        yield from _of(group, base)


def _of(group: str, base: type[object]) -> Iterator[PluginError]:
    for name, point in installed(group).items():
        if not is_own(point):
            try:
                load(group, name, base)
            except PluginError as error:
                yield error
