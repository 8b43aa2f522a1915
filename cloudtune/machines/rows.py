"""The two tables of a catalogue as CSV: machines, and prices by region; shipped in packages, and cached from price lists."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from cloudtune.machines.accelerators import accelerator
from cloudtune.machines.machine import GIB, Machine, Price

MACHINE_COLUMNS = ("name", "cpus", "memory_gib", "accelerator", "count", "spelling", "architecture")
PRICE_COLUMNS = (
    "name", "accelerator", "count", "region", "currency", "on_demand", "spot", "estimated", "date", "source",
)  # fmt: skip

Key = tuple[str, str, float]
"""See `Machine.key`."""

Priced = tuple[Key, Price]
"""A row of the second table."""


def read_machines(service: str, text: str) -> Iterator[Machine]:
    """Yield the machines of the first table.

    Raises:
        ValueError: a row is not one of it; says which line.
    """
    for row, line in _rows(text, MACHINE_COLUMNS):
        with _in_line(line):
            own = accelerator(row["accelerator"], float(row["count"])) if row["accelerator"] else None
            memory = int(Decimal(row["memory_gib"]) * GIB)
            yield Machine(service, row["name"], float(row["cpus"]), memory, own, row["architecture"], row["spelling"])


def read_prices(text: str) -> Iterator[Priced]:
    """Yield the rows of the second table.

    Raises:
        ValueError: a row is not one of it; says which line.
    """
    for row, line in _rows(text, PRICE_COLUMNS):
        with _in_line(line):
            key = (row["name"], row["accelerator"], float(row["count"] or 0))
            yield (
                key,
                Price(
                    row["region"],
                    row["currency"],
                    _money(row["on_demand"]),
                    _money(row["spot"]),
                    row["source"],
                    date.fromisoformat(row["date"]),
                    row["estimated"] == "yes",
                ),
            )


def write_machines(machines: Iterable[Machine]) -> str:
    """Return the first table."""
    return _written(MACHINE_COLUMNS, (_machine_row(each) for each in machines))


def write_prices(rows: Iterable[Priced]) -> str:
    """Return the second table."""
    return _written(PRICE_COLUMNS, (_price_row(key, price) for key, price in rows))


def _machine_row(machine: Machine) -> tuple[str, ...]:
    own = machine.accelerator
    kind, count = ("", "") if own is None else (own.kind, f"{own.count:g}")
    memory = f"{machine.memory / GIB:g}"
    return machine.name, f"{machine.cpus:g}", memory, kind, count, machine.spelling, machine.architecture


def _price_row(key: Key, price: Price) -> tuple[str, ...]:
    name, kind, count = key
    listed = "" if price.date is None else price.date.isoformat()
    shown = [_shown(price.on_demand), _shown(price.spot), "yes" if price.estimated else "no", listed, price.source]
    return name, kind, f"{count:g}" if kind else "", price.region, price.currency, *shown


def _written(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue()


def _shown(money: Decimal | None) -> str:
    return "" if money is None else f"{money.normalize():f}"


def _money(text: str) -> Decimal | None:
    if not text:
        return None
    money = Decimal(text)
    if not money.is_finite() or money < 0:
        raise ValueError(f"{text} is no price")
    return money


def _rows(text: str, columns: tuple[str, ...]) -> Iterator[tuple[Mapping[str, str], int]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    if tuple(reader.fieldnames or ()) != columns:
        raise ValueError(f"line 1: the columns must be {', '.join(columns)}")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num}: has not {len(columns)} columns")
        yield row, reader.line_num


class _in_line:  # noqa: N801  # reads as a word
    """Say in which line of a table a value is wrong."""

    def __init__(self, line: int) -> None:
        self.line = line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, _: object) -> None:
        if isinstance(error, ValueError | InvalidOperation):
            raise ValueError(f"line {self.line}: {error}") from None  # noqa: TRY004
