"""Write down anew what Azure ML's sizes are and cost: ``python -m cloudtune_azureml.machine_update FILE``.

FILE is ``pkg/providers/pricing/zz_generated.pricing.go`` of https://github.com/Azure/karpenter-provider-azure, which
its maintainers generate from Azure's retail price list: Linux, on demand, by region. Azure Machine Learning adds
nothing to the price of the machine (https://azure.microsoft.com/pricing/details/machine-learning/), so these prices are
the service's own. Low-priority prices are not in FILE; ``cloudtune prices update`` knows them.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import chain
from pathlib import Path

from cloudtune.machines.accelerators import accelerator
from cloudtune.machines.machine import GIB, Accelerator, Machine, Price
from cloudtune.machines.rows import Priced, write_machines, write_prices

FOLDER = Path(__file__).with_name("machine_data")

_REGIONS = ("eastus", "eastus2", "westus2", "westus3", "southcentralus", "westeurope", "northeurope", "uksouth",
            "southeastasia", "japaneast")  # fmt: skip

_RULES: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "Standard_D{}_v3": (4, (2, 4, 8, 16, 32, 48, 64)),
    "Standard_D{}s_v3": (4, (2, 4, 8, 16, 32, 48, 64)),
    "Standard_D{}s_v4": (4, (2, 4, 8, 16, 32, 48, 64)),
    "Standard_D{}ds_v4": (4, (2, 4, 8, 16, 32, 48, 64)),
    "Standard_D{}s_v5": (4, (2, 4, 8, 16, 32, 48, 64, 96)),
    "Standard_E{}s_v3": (8, (2, 4, 8, 16, 32, 48)),
    "Standard_E{}s_v4": (8, (2, 4, 8, 16, 32, 48)),
    "Standard_E{}s_v5": (8, (2, 4, 8, 16, 32, 48)),
    "Standard_E{}ds_v4": (8, (2, 4, 8, 16, 32, 48)),
    "Standard_F{}s_v2": (2, (2, 4, 8, 16, 32, 48, 64, 72)),
}
"""GiB a processor and numbers of processors, by form of name (https://learn.microsoft.com/azure/virtual-machines/sizes)."""

_OLDER: Mapping[str, tuple[int, float]] = {
    **{f"Standard_D{letter}{number}_v2": size for letter in ("", "S") for number, size in {
        1: (1, 3.5), 2: (2, 7), 3: (4, 14), 4: (8, 28), 5: (16, 56), 11: (2, 14), 12: (4, 28), 13: (8, 56), 14: (16, 112),
    }.items()},
    "Standard_A2_v2": (2, 4), "Standard_A4_v2": (4, 8), "Standard_A8_v2": (8, 16),
}  # fmt: skip
"""Processors and GiB."""

_WITH_GPUS: Mapping[str, tuple[int, int, str, float]] = {
    "Standard_NC6s_v3": (6, 112, "V100", 1),
    "Standard_NC12s_v3": (12, 224, "V100", 2),
    "Standard_NC24s_v3": (24, 448, "V100", 4),
    "Standard_NC24rs_v3": (24, 448, "V100", 4),
    "Standard_NC4as_T4_v3": (4, 28, "T4", 1),
    "Standard_NC8as_T4_v3": (8, 56, "T4", 1),
    "Standard_NC16as_T4_v3": (16, 110, "T4", 1),
    "Standard_NC64as_T4_v3": (64, 440, "T4", 4),
    "Standard_NC24ads_A100_v4": (24, 220, "A100-80GB", 1),
    "Standard_NC48ads_A100_v4": (48, 440, "A100-80GB", 2),
    "Standard_NC96ads_A100_v4": (96, 880, "A100-80GB", 4),
    "Standard_NC40ads_H100_v5": (40, 320, "H100-NVL", 1),
    "Standard_NC80adis_H100_v5": (80, 640, "H100-NVL", 2),
    "Standard_ND40rs_v2": (40, 672, "V100-32GB", 8),
    "Standard_ND96asr_v4": (96, 900, "A100", 8),
    "Standard_ND96amsr_A100_v4": (96, 1924, "A100-80GB", 8),
    "Standard_ND96isr_H100_v5": (96, 1900, "H100", 8),
    "Standard_ND96isr_H200_v5": (96, 1850, "H200", 8),
    "Standard_NV6ads_A10_v5": (6, 55, "A10", 0.1666),
    "Standard_NV12ads_A10_v5": (12, 110, "A10", 0.3333),
    "Standard_NV18ads_A10_v5": (18, 220, "A10", 0.5),
    "Standard_NV36ads_A10_v5": (36, 440, "A10", 1),
    "Standard_NV72ads_A10_v5": (72, 880, "A10", 2),
}
"""Processors, GiB, GPU and their number (https://learn.microsoft.com/azure/virtual-machines/sizes/overview)."""


def _machines() -> Iterator[Machine]:
    for form, (gib, sizes) in _RULES.items():
        for cpus in sizes:
            yield _made(form.format(cpus), cpus, gib * cpus)
    for name, (cpus, memory) in _OLDER.items():
        yield _made(name, cpus, memory)
    for name, (cpus, memory, kind, count) in _WITH_GPUS.items():
        yield _made(name, cpus, memory, accelerator(kind, count))


def _made(name: str, cpus: int, gib: float, own: Accelerator | None = None) -> Machine:
    return Machine("azureml", name, cpus, int(gib * GIB), own)


def _listed(text: str) -> dict[str, dict[str, str]]:
    """Return the prices of FILE: by region and size."""
    found: dict[str, dict[str, str]] = {}
    region = ""
    for line in text.splitlines():
        if opened := re.search(r'initialOnDemandPrices\["(\w+)"\]', line):
            region = opened[1]
        elif price := re.fullmatch(r'\s*"(\S+)":\s+([0-9.]+),', line):
            found.setdefault(region, {})[price[1]] = price[2]
    return found


def _priced(machine: Machine, listed: Mapping[str, Mapping[str, str]], day: date) -> Iterator[Priced]:
    """Yield the price of a machine in each region where it is known."""
    for region in _REGIONS:
        if price := listed[region].get(machine.name):
            yield machine.key, Price(region, "USD", Decimal(price), None, "Azure's retail prices", day)


def main(path: str) -> None:
    """Write ``machines.csv`` and ``prices.csv`` from Karpenter's file."""
    text = Path(path).read_text("utf-8")
    day = date.fromisoformat(re.findall(r"generated at (\d{4}-\d\d-\d\d)", text)[0])
    listed, known = _listed(text), list(_machines())
    rows = chain.from_iterable(_priced(each, listed, day) for each in known)
    (FOLDER / "machines.csv").write_text(write_machines(known), "utf-8")
    (FOLDER / "prices.csv").write_text(write_prices(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
