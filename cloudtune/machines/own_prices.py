"""Prices of the user's own: ``[prices]`` in ``cloudtune.toml``.

::

    [prices]
    currency = "USD"

    [prices.sagemaker]
    discount = "12%"
    "ml.g5.xlarge" = 1.10
    "ml.p4d.24xlarge" = {on_demand = 21.5, spot = 9}

    [prices.cluster]
    hour = 0.40
    gpu_hour = 1.20

    [prices.vizier]
    suggestion = 1

A table is named like a profile, a provider or an alias; that of the profile wins. What it says of a machine is a
negotiated price of the whole machine for an hour; ``discount`` holds for all others that are listed. ``hour`` and
``gpu_hour`` are what machines of one's own cost: for each machine, and for each accelerator of it. ``suggestion`` is what the service
of a strategy of the table's name charges for one trial that it suggests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from cloudtune.errors import ConfigError, suggest
from cloudtune.machines.machine import Machine, Price

SOURCE = "your [prices]"
CURRENCY = "USD"
"""Where nothing says another: what the services' lists are in."""

_AMOUNTS = ("hour", "gpu_hour", "suggestion")
_SETTINGS = ("discount", *_AMOUNTS)
_OF_A_MACHINE = ("on_demand", "spot")


@dataclass(frozen=True)
class OwnPrices:
    """What one table says.

    Attributes:
        currency: of all its prices.
        discount: the part of a listed price that is not paid, from 0 to below 1.
        hour: of a machine of one's own; None if that is not said.
        gpu_hour: of an accelerator of one's own; None if that is not said.
        machines: on demand and spot, by the machine's name.
        suggestion: of a trial that the service of a strategy suggests; None if that is not said.
    """

    currency: str = CURRENCY
    discount: Decimal = Decimal(0)
    hour: Decimal | None = None
    gpu_hour: Decimal | None = None
    machines: Mapping[str, tuple[Decimal | None, Decimal | None]] = field(default_factory=dict)
    suggestion: Decimal | None = None

    def of(self, machine: Machine, listed: Price | None, region: str) -> Price | None:
        """Return what a machine costs the user: by its own price, by the hour, or as it is listed less the discount."""
        if machine.name in self.machines:
            on_demand, spot = self.machines[machine.name]
            return Price(region, self.currency, on_demand, spot, SOURCE)
        if (hourly := self._hourly(machine)) is not None:
            return Price("", self.currency, hourly, None, SOURCE)
        if listed is None or not self.discount:
            return listed
        on_demand, spot = (
            None if price is None else price * (1 - self.discount) for price in (listed.on_demand, listed.spot)
        )
        source = f"{listed.source} less {(self.discount * 100).normalize():f} %"
        return replace(listed, on_demand=on_demand, spot=spot, source=source)

    def _hourly(self, machine: Machine) -> Decimal | None:
        """Return the price of a machine of one's own; None if accelerators have no price here, or nothing has one."""
        if machine.accelerator is None:
            return self.hour
        if self.gpu_hour is None:
            return None
        return (self.hour or Decimal(0)) + self.gpu_hour * Decimal(str(machine.accelerator.count))


class PriceTables:
    """All tables of the config, by name; the nearer file comes last and wins key by key."""

    def __init__(self) -> None:
        self._currency: str = CURRENCY
        self._tables: dict[str, dict[str, Any]] = {}

    def add(self, table: object, where: str, aliases: Mapping[str, str]) -> None:
        """Add the ``[prices]`` of a file.

        Args:
            table: as TOML reads it.
            where: the file, for messages.
            aliases: providers' names by their aliases.

        Raises:
            ConfigError: it is not valid; says where and what to write.
        """
        if not isinstance(table, dict):
            raise ConfigError(f'{where}: prices are tables; write [prices.PROFILE] and below it "MACHINE" = 1.25')
        for name, said in table.items():
            if name == "currency":
                self._currency = _currency(said, where)
            elif isinstance(said, dict):
                _check(said, f"{where}: [prices.{name}]")
                self._tables.setdefault(aliases.get(name, name), {}).update(said)
            else:
                raise ConfigError(
                    f"{where}: prices.{name} must be a table: write [prices.{name}] and the prices below it"
                )

    def of(self, names: Iterable[str]) -> OwnPrices:
        """Return the prices of a profile.

        Args:
            names: of its provider and of itself; the last one wins.
        """
        said: dict[str, Any] = {}
        for name in names:
            said.update(self._tables.get(name, {}))
        machines = {name: _pair(value, name) for name, value in said.items() if name not in _SETTINGS}
        hour, gpu_hour, one = (None if name not in said else _money(said[name], name) for name in _AMOUNTS)
        return OwnPrices(self._currency, _discount(said.get("discount", 0)), hour, gpu_hour, machines, one)


def _check(table: Mapping[str, Any], where: str) -> None:
    for name, value in table.items():
        try:
            if name == "discount":
                _discount(value)
            elif name in _SETTINGS:
                _money(value, name)
            else:
                _pair(value, name)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None


def _currency(value: object, where: str) -> str:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isupper():
        return value
    raise ConfigError(f'{where}: prices.currency must be a code of three letters, e.g. currency = "{CURRENCY}"')


def _pair(value: object, name: str) -> tuple[Decimal | None, Decimal | None]:
    if not isinstance(value, Mapping):
        return _money(value, name), None
    for key in value:
        if key not in _OF_A_MACHINE:
            raise ValueError(f"{name} has on_demand and spot, not {key!r}; {suggest(str(key), _OF_A_MACHINE)}")
    on_demand, spot = (None if key not in value else _money(value[key], f"{name}.{key}") for key in _OF_A_MACHINE)
    if on_demand is not None and spot is not None and spot > on_demand:
        raise ValueError(f"{name}: spot capacity costs no more than that on demand: {spot} is above {on_demand}")
    return on_demand, spot


def _money(value: object, name: str) -> Decimal:
    money = None if isinstance(value, bool) else _number(value)
    if money is None or money < 0:
        what = "one trial" if name == "suggestion" else "an hour"
        raise ValueError(f"{name} must be a price for {what}, e.g. {name} = 1.25, not {value!r}")
    return money


def _discount(value: object) -> Decimal:
    text = value.strip() if isinstance(value, str) else value
    part = _number(text[:-1]) if isinstance(text, str) and text.endswith("%") else _number(text)
    if part is not None and isinstance(text, str) and text.endswith("%"):
        part /= 100
    if part is None or not 0 <= part < 1:
        raise ValueError(f'discount must be a part of the price, e.g. discount = 0.15 or "15%", not {value!r}')
    return part


def _number(value: object) -> Decimal | None:
    """Return a number exactly as it was written; None for what is none."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
