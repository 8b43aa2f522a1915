"""Vertex AI's prices by Google's billing catalogue, which wants the user's credentials or an API key.

https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list: Compute Engine's units (a processor's, a
GiB's and a GPU's hour, by family and region), in pages. A machine costs the sum of its parts, and Vertex AI's fee on it.
Machines with disks of their own (a2-ultragpu, a3) and TPUs have units of other kinds: their shipped prices stay.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from cloudtune.errors import ProviderError
from cloudtune.machines.catalogue import machines_of
from cloudtune.machines.fetching import Fetcher
from cloudtune.machines.machine import GIB, Machine, Price
from cloudtune.machines.rows import Priced
from cloudtune_vertex.machine_update import FEE

ADDRESS = "https://cloudbilling.googleapis.com"
_PATH = "/v1/services/6F81-5844-456A/skus"
"""Compute Engine's units."""

KEY = "GOOGLE_API_KEY"
"""The environment variable with an API key, in place of credentials."""

_MOST_PAGES = 200

_FAMILIES = {
    "e2": "E2 Instance", "n1": "N1 Predefined Instance", "n2": "N2 Instance", "c2": "Compute optimized",
    "c3": "C3 Instance", "g2": "G2 Instance", "a2": "A2 Instance",
}  # fmt: skip
_GPUS = {"T4": "Nvidia Tesla T4", "P100": "Nvidia Tesla P100", "V100": "Nvidia Tesla V100", "L4": "Nvidia L4",
         "A100": "Nvidia Tesla A100"}  # fmt: skip
"""How descriptions of units begin."""

_SPOT = "Spot Preemptible "

Units = dict[tuple[str, str], Decimal]
"""Amounts for an hour by description, without its place, and region."""


def prices(fetcher: Fetcher, regions: Iterable[str], settings: Mapping[str, Any]) -> Iterator[Priced]:
    """Yield the present prices of training machines on demand and spot.

    Raises:
        ProviderError: the catalogue cannot be read, or is not of the documented form.
        CredentialError: there are no credentials.
    """
    address = str(settings.get("price_list") or ADDRESS).rstrip("/")
    units = _units(fetcher, address)
    day = datetime.now(UTC).date()
    for region in regions:
        for machine in machines_of("vertex"):
            on_demand, spot = (_cost(machine, units, region, spot=spot) for spot in (False, True))
            if on_demand is not None:
                fee = on_demand * FEE
                paid = None if spot is None else min(spot, on_demand) + fee
                source = "Google's billing catalogue + 15 %"
                yield machine.key, Price(region, "USD", on_demand + fee, paid, source, day, estimated=True)


def _units(fetcher: Fetcher, address: str) -> Units:
    found: Units = {}
    headers, token = _credentials(address), ""
    for _ in range(_MOST_PAGES):
        page = fetcher.json(f"{address}{_PATH}?{urlencode({'pageSize': 5000, 'pageToken': token})}", headers)
        if not isinstance(page, dict) or not isinstance(page.get("skus", []), list):
            raise ProviderError(f"{address}{_PATH} answered with no list of units")
        for sku in page.get("skus", []):
            _note(sku, found)
        token = page.get("nextPageToken") or ""
        if not token:
            return found
    raise ProviderError(f"{address}{_PATH} has no end of pages")


def _note(sku: Any, found: Units) -> None:
    """Write down what a unit costs, in each of its regions."""
    try:
        description, usage = sku["description"], sku["category"]["usageType"]
        regions, pricing = sku["serviceRegions"], sku["pricingInfo"][0]["pricingExpression"]
        if usage not in ("OnDemand", "Preemptible") or not pricing["usageUnit"].endswith("h"):
            return
        unit = pricing["tieredRates"][-1]["unitPrice"]
        amount = Decimal(unit.get("units") or 0) + Decimal(unit.get("nanos") or 0) / 10**9
    except (KeyError, IndexError, TypeError, AttributeError, ArithmeticError):
        return  # a unit of another form, such as of a commitment
    name = str(description).partition(" running in ")[0]
    for region in regions:
        found[name, region] = amount


def _cost(machine: Machine, units: Units, region: str, *, spot: bool) -> Decimal | None:
    """Return what a machine costs as the sum of its parts; None if one of them has no price."""
    family, own = machine.name.partition("-")[0], machine.accelerator
    if family not in _FAMILIES or machine.name.startswith("a2-ultragpu"):
        return None
    first = (_SPOT if spot else "") + _FAMILIES[family]
    parts = [(f"{first} Core", machine.cpus), (f"{first} Ram", machine.memory / GIB)]
    if own is not None:
        kind = _GPUS.get(own.kind, "")
        parts.append((f"{kind} GPU attached to {_SPOT}VMs" if spot else f"{kind} GPU", own.count))
    known = [units.get((name, region)) for name, _ in parts]
    if None in known:
        return None
    return sum(
        (Decimal(str(amount)) * each for (_, amount), each in zip(parts, known, strict=True) if each is not None),
        Decimal(0),
    )


def _credentials(address: str) -> dict[str, str]:
    """Return headers with the user's API key or a token; none to an address without TLS."""
    if not address.startswith("https://"):
        return {}
    if key := os.environ.get(KEY):
        return {"X-Goog-Api-Key": key}
    from cloudtune_vertex.client import bearer  # noqa: PLC0415  # loads Google's SDK

    return {"Authorization": f"Bearer {bearer()}"}
