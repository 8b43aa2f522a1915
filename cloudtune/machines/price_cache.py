"""Prices that ``cloudtune prices update`` fetched, in the user's data folder: one table a service."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.machines.machine import Price
from cloudtune.machines.rows import Priced, read_prices, write_prices


def cache_file(service: str) -> Path:
    """Return the path of a service's table (XDG Base Directory Specification)."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "cloudtune" / "prices" / f"{service}.csv"


def cached(service: str) -> list[Priced]:
    """Return the prices that were fetched; none if none were.

    Raises:
        ConfigError: the table is damaged.
    """
    path = cache_file(service)
    try:
        return list(read_prices(path.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):  # the latter below /dev/null, the home of services' users
        return []
    except (OSError, ValueError) as error:
        hint = "fetch them again with: cloudtune prices update"
        raise ConfigError(f"{path}, the fetched prices of {service}, cannot be read: {error}; {hint}") from None


def keep(service: str, rows: Iterable[Priced]) -> Path:
    """Replace the prices of the regions that `rows` has, and keep those of all others; all or nothing.

    Raises:
        ConfigError: the table cannot be written.
        ProviderError: a price is none; nothing is kept.
    """
    fresh = list(rows)
    for (name, _, _), price in fresh:
        _check(name, price)
    path, fetched = cache_file(service), {price.region for _, price in fresh}
    try:
        others = [row for row in cached(service) if row[1].region not in fetched]
    except ConfigError:  # a damaged table is replaced
        others = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8", newline="") as file:
            file.write(write_prices(sorted([*others, *fresh], key=lambda row: (row[0], row[1].region))))
        Path(file.name).replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from None
    return path


def _check(name: str, price: Price) -> None:
    """Raise ProviderError for a price that is none."""
    for amount in (price.on_demand, price.spot):
        if amount is not None and not (amount.is_finite() and amount > 0):
            raise ProviderError(
                f"the price list has {amount} for {name} in {price.region}; the prices stay as they were"
            )
