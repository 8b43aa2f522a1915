"""Write down anew what SageMaker's training machines are and cost: ``python -m cloudtune_sagemaker.machine_update FILE``.

SageMaker's own price list (see `cloudtune_sagemaker.price_list`) has a million rows and needs the network. What ships
is therefore *derived*, and marked as estimated: the price of the EC2 machine, times the ratio that SageMaker's list has
to EC2's for that kind of machine, times the ratio of the region to us-east-1.

FILE is ``pkg/providers/pricing/zz_generated.pricing_aws.go`` of https://github.com/aws/karpenter-provider-aws, which
its maintainers generate from the AWS price list, for us-east-1.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import chain
from pathlib import Path

from cloudtune.machines.accelerators import accelerator
from cloudtune.machines.machine import GIB, Machine, Price
from cloudtune.machines.rows import Priced, write_machines, write_prices
from cloudtune_sagemaker.values import machines

FOLDER = Path(__file__).with_name("machine_data")

_GIB_PER_CPU = {"m": 4, "c": 2, "r": 8}
_PLAIN = ("m5", "m6i", "m7i", "c5", "c6i", "c7i", "r5", "r6i", "r7i")
"""Families whose memory follows from their processors: https://aws.amazon.com/ec2/instance-types/."""

_OTHERS: Mapping[str, tuple[int, float]] = {
    "m4.xlarge": (4, 16),
    "m4.2xlarge": (8, 32),
    "m4.4xlarge": (16, 64),
    "m4.10xlarge": (40, 160),
    "m4.16xlarge": (64, 256),
    "c4.xlarge": (4, 7.5),
    "c4.2xlarge": (8, 15),
    "c4.4xlarge": (16, 30),
    "c4.8xlarge": (36, 60),
    "c5n.xlarge": (4, 10.5),
    "c5n.2xlarge": (8, 21),
    "c5n.4xlarge": (16, 42),
    "c5n.9xlarge": (36, 96),
    "c5n.18xlarge": (72, 192),
}
"""Processors and GiB of machines without accelerators that do not follow a rule. Those of the family t3 are left out:
their processors are lent by credits, so they are no equivalent of others of their size."""

_G_COUNTS = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
_G_FAMILIES = {"g5": ("A10G", 4), "g6": ("L4", 4), "g6e": ("L40S", 8)}
"""Families of which 12xlarge and 24xlarge have 4 GPUs, 48xlarge 8, others 1; the GPU, and GiB of memory a processor."""

_ACCELERATED: Mapping[str, tuple[int, int, str, int]] = {
    "g4dn.xlarge": (4, 16, "T4", 1),
    "g4dn.2xlarge": (8, 32, "T4", 1),
    "g4dn.4xlarge": (16, 64, "T4", 1),
    "g4dn.8xlarge": (32, 128, "T4", 1),
    "g4dn.12xlarge": (48, 192, "T4", 4),
    "g4dn.16xlarge": (64, 256, "T4", 1),
    "p2.xlarge": (4, 61, "K80", 1),
    "p2.8xlarge": (32, 488, "K80", 8),
    "p2.16xlarge": (64, 732, "K80", 16),
    "p3.2xlarge": (8, 61, "V100", 1),
    "p3.8xlarge": (32, 244, "V100", 4),
    "p3.16xlarge": (64, 488, "V100", 8),
    "p3dn.24xlarge": (96, 768, "V100-32GB", 8),
    "p4d.24xlarge": (96, 1152, "A100", 8),
    "p4de.24xlarge": (96, 1152, "A100-80GB", 8),
    "p5.4xlarge": (16, 256, "H100", 1),
    "p5.48xlarge": (192, 2048, "H100", 8),
    "p5en.48xlarge": (192, 2048, "H200", 8),
    "p6-b200.48xlarge": (192, 2048, "B200", 8),
    "trn1.2xlarge": (8, 32, "Trainium", 1),
    "trn1.32xlarge": (128, 512, "Trainium", 16),
    "trn1n.32xlarge": (128, 512, "Trainium", 16),
}
"""Processors, GiB, accelerator and their number, as AWS's pages of instance types have them."""

_RATIOS: Mapping[str, str] = {
    "g4dn.xlarge": "1.4", "g5.xlarge": "1.4", "g6.xlarge": "1.4", "g6e.xlarge": "1.4",
    "g4dn": "1.25", "g5": "1.25", "g6": "1.25", "g6e": "1.25",
    "p2.xlarge": "1.25", "p2.8xlarge": "1.2", "p2": "1.15",
    "p3.2xlarge": "1.25", "p3.8xlarge": "1.2", "p3": "1.15", "p3dn": "1.15",
    "p4d": "1.15", "p4de": "1.15", "p5": "1.15", "p5en": "1.15", "p6-b200": "1.15",
    "trn1": "1.15", "trn1n": "1.15",
    "m4": "1.4", "c4": "1.4", "c5n": "1.4",
}  # fmt: skip
"""SageMaker's price by EC2's, for a machine or else its family; 1.2 for all others.

Read from rates of the AWS price list (service AmazonSageMaker, us-west-2, effective 2026-09-01): m5 and c5 1.2, g5 and
g6 1.4 for xlarge and 1.25 for the larger, p4d and p5 1.15; p2, p3, m4, c4 and c5n from SageMaker's list of 2022.
"""

_REGIONS: Mapping[str, Mapping[str, str]] = {
    "m": {"us-west-2": "1", "us-east-2": "1", "eu-west-1": "0.2247/0.2016", "eu-central-1": "0.2415/0.2016",
          "ap-southeast-1": "0.252/0.2016", "ap-northeast-1": "0.2604/0.2016"},
    "c": {"us-west-2": "1", "us-east-2": "1", "eu-west-1": "0.192/0.17", "eu-central-1": "0.194/0.17",
          "ap-southeast-1": "0.196/0.17", "ap-northeast-1": "2.304/1.848"},
    "r": {"us-west-2": "1", "us-east-2": "1", "eu-west-1": "4.512/4.032", "eu-central-1": "4.864/4.032",
          "ap-southeast-1": "4.864/4.032", "ap-northeast-1": "7.296/6.048"},
    "g4dn": {"us-west-2": "1", "us-east-2": "1", "eu-west-1": "2.426/2.176", "eu-central-1": "2.72/2.176",
             "ap-southeast-1": "3.045/2.176", "ap-northeast-1": "10.562/7.824"},
    "g5": {"us-west-2": "1", "us-east-2": "1", "eu-west-1": "6.33167/5.672", "eu-central-1": "7.09282/5.672",
           "ap-northeast-1": "8.22609/5.672"},
    "g6": {"us-west-2": "1", "us-east-2": "1", "eu-central-1": "1.188/0.95", "ap-northeast-1": "1.37776/0.95"},
    "p4d": {"us-west-2": "1"},
    "p5": {"us-west-2": "1"},
}  # fmt: skip
"""EC2's price in a region by that in us-east-1, by the family or its first letter (skypilot-org/skypilot-catalog,
catalogs/v8/aws/vms.csv at 00148f2: m7i, c5, c5a, r5, g4dn, g5 and g6f)."""


def _size(name: str) -> int:
    """Return the processors of a plain machine by its size."""
    size = name.partition(".")[2].removesuffix("xlarge")
    return 2 if size == "large" else 4 * int(size or 1)


def _machine(name: str) -> Machine | None:
    """Return an EC2 machine as SageMaker's; None for one that is not written down."""
    family, _, size = name.partition(".")
    if name in _ACCELERATED:
        return _made(name, *_ACCELERATED[name])
    if family in _G_FAMILIES:
        kind, gib = _G_FAMILIES[family]
        return _made(name, _size(name), gib * _size(name), kind, _G_COUNTS.get(size, 1))
    if name in _OTHERS:
        return _made(name, *_OTHERS[name])
    if family in _PLAIN and "metal" not in size:
        return _made(name, _size(name), _size(name) * _GIB_PER_CPU[family[0]])
    return None


def _made(name: str, cpus: float, gib: float, kind: str = "", count: int = 0) -> Machine:
    return Machine("sagemaker", f"ml.{name}", cpus, int(gib * GIB), accelerator(kind, count) if kind else None)


def _regions(name: str) -> Mapping[str, str]:
    family = name.partition(".")[0]
    if family in ("m4", "c4", "c5n"):
        return {}
    return _REGIONS.get("g6" if family == "g6e" else family) or _REGIONS.get(family[0], {})


def _ratio(name: str) -> Decimal:
    return Decimal(_RATIOS.get(name) or _RATIOS.get(name.partition(".")[0], "1.2"))


def _priced(machine: Machine, ec2: Decimal, listed: date) -> Iterator[Priced]:
    """Yield the price of a machine in each region where it is known."""
    name = machine.name.removeprefix("ml.")
    for region, ratio in {"us-east-1": "1", **_regions(name)}.items():
        above, _, below = ratio.partition("/")
        price = round(ec2 * _ratio(name) * Decimal(above) / Decimal(below or 1), 4)
        source = f"EC2 × {_ratio(name)}" + (f" × {ratio}" if ratio != "1" else "")
        yield machine.key, Price(region, "USD", price, None, source, listed, estimated=True)


def main(path: str) -> None:
    """Write ``machines.csv`` and ``prices.csv`` from Karpenter's file."""
    text = Path(path).read_text("utf-8")
    listed = date.fromisoformat(re.findall(r"generated at (\d{4}-\d\d-\d\d)", text)[0])
    ec2 = {name: Decimal(price) for name, price in re.findall(r'"([a-z0-9-]+\.[a-z0-9-]+)":\s+([0-9.]+)', text)}
    known = [machine for name in machines().values if (machine := _machine(name.removeprefix("ml."))) is not None]
    rows = [_priced(each, ec2[name], listed) for each in known if (name := each.name.removeprefix("ml.")) in ec2]
    (FOLDER / "machines.csv").write_text(write_machines(known), "utf-8")
    (FOLDER / "prices.csv").write_text(write_prices(chain.from_iterable(rows)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
