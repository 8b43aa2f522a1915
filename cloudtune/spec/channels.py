"""Read the channels of ``cloudtune.toml``."""

from typing import Any

from cloudtune.errors import ConfigError, SpecError
from cloudtune.spec.notify import Channel
from cloudtune.spec.text import from_data


def read_channels(table: Any, source: str) -> dict[str, Channel]:  # what TOML holds
    """Return the channels of a config file's ``notify`` by their names.

    Raises:
        ConfigError: a channel is not valid; says which, and what to do.
    """
    if not isinstance(table, dict) or not all(isinstance(each, dict) for each in table.values()):
        raise ConfigError(
            f'{source}: channels are tables; write [notify.NAME] and below it slack = "${{SLACK_WEBHOOK_URL}}"'
        )
    try:
        return {name: from_data(Channel, said, f"[notify.{name}]") for name, said in table.items()}
    except SpecError as error:
        raise ConfigError(f"{source}: {error}") from None
