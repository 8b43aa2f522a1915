"""Amounts of money as people write them: ``50``, ``USD 50``, ``12.50 EUR``, ``$50``."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP"}
_AMOUNT = r"\d{1,12}(?:\.\d{1,6})?"
_MONEY = re.compile(
    rf"(?:(?P<before>[A-Za-z]{{3}}\s*|[$€£]\s*)?(?P<amount>{_AMOUNT})(?P<after>\s*[A-Za-z]{{3}}|\s*[$€£])?)"
)

MONEY_HELP = (
    'write an amount of money as a number in the currency of the prices, or with its currency: "USD 50", "12.50 EUR"'
)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of money above zero.

    Attributes:
        amount: exact.
        currency: an ISO 4217 code; "" for that of the prices.
    """

    amount: Decimal
    currency: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", self.amount.normalize())  # one spelling of each amount: 12.50 is 12.5

    def __str__(self) -> str:
        amount = f"{self.amount:f}"
        return f"{self.currency} {amount}" if self.currency else amount


def money_data(money: Money) -> str | int | float:
    """Return what `parse_money` reads as the same amount: a number, where it has no currency and a float is exact."""
    if money.currency or Decimal(repr(float(money.amount))) != money.amount:
        return str(money)
    return int(money.amount) if money.amount == int(money.amount) else float(money.amount)


def parse_money(value: Any) -> Money:
    """Return the amount that a text or a number says.

    Raises:
        ValueError: it is no amount, not above zero, or says two currencies.
    """
    if isinstance(value, Money):
        return value
    if isinstance(value, bool):
        raise ValueError(f"true and false are no amounts; {MONEY_HELP}")  # noqa: TRY004  # pydantic's protocol
    found = _MONEY.fullmatch(str(value).strip())
    if found is None or (found["before"] and found["after"]):
        raise ValueError(f"{value!r} is no amount of money; {MONEY_HELP}")
    amount = Decimal(found["amount"])
    if not amount:
        raise ValueError("an amount must be above zero")
    said = (found["before"] or found["after"] or "").strip().upper()
    return Money(amount, _SIGNS.get(said, said))


def format_money(amount: Decimal, currency: str) -> str:
    """Return an amount for people: with cents; below one with four decimals, or as many as show two digits that are not zero."""
    return f"{amount:,.{2 if abs(amount) >= 1 or not amount else decimals(amount)}f} {currency}".rstrip()


def decimals(amount: Decimal) -> int:
    """Return the decimals of a small amount or a price: four, or as many as show two digits that are not zero."""
    return max(4, 1 - amount.adjusted()) if amount else 4


def cost_text(spent: Decimal, limit: Decimal | None, currency: str) -> str:
    """Return what is spent, and of what: ``1.20 of 5.00 USD``, ``1.20 USD``."""
    if limit is None:
        return format_money(spent, currency)
    return f"{format_money(spent, '')} of {format_money(limit, currency)}"
