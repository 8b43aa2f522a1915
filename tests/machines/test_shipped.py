"""The catalogues that providers ship: every row is sane, and some are what their sources say."""

import re
from decimal import Decimal
from itertools import pairwise

import pytest

from cloudtune.machines import Accelerator, Catalogue, Prices, catalogue
from cloudtune.machines.accelerators import kinds
from cloudtune.machines.data import machine_data, services
from cloudtune.machines.prices import shipped
from cloudtune.machines.rows import read_machines, read_prices, write_machines, write_prices

CLOUDS = ("azureml", "sagemaker", "vertex")


def shipped_catalogue(service: str) -> Catalogue:
    data = machine_data(service)
    assert data is not None
    return Catalogue(service, catalogue(service).machines, Prices(service, None, [shipped(service)]), data.region)


@pytest.fixture(params=CLOUDS)
def known(request: pytest.FixtureRequest) -> Catalogue:
    return shipped_catalogue(request.param)


def test_the_three_clouds_ship_a_catalogue_of_a_hundred_types_or_more() -> None:
    assert {*CLOUDS} <= {*services()}
    assert all(len(catalogue(service).machines) >= 100 for service in CLOUDS)


def test_every_machine_is_there_once_and_has_a_size(known: Catalogue) -> None:
    assert len({machine.key for machine in known.machines}) == len(known.machines)
    for machine in known.machines:
        assert machine.cpus > 0
        assert machine.memory > 0
        if machine.accelerator is not None:
            kind = kinds()[machine.accelerator.kind]
            assert machine.accelerator.memory == kind.memory
            assert 0 < machine.accelerator.count <= 16


def test_every_price_is_of_a_machine_and_above_zero_and_spot_is_no_dearer(known: Catalogue) -> None:
    machines = {machine.key for machine in known.machines}
    for (key, region), price in shipped(known.service).items():
        assert key in machines
        assert region == price.region
        assert price.currency == "USD"
        assert price.source
        assert price.date is not None
        assert price.on_demand is not None
        assert price.on_demand > 0
        assert price.spot is None or 0 < price.spot <= price.on_demand, (key, region)


def test_no_price_is_listed_twice(known: Catalogue) -> None:
    data = machine_data(known.service)
    assert data is not None
    rows = [(key, price.region) for key, price in read_prices((data.folder / "prices.csv").read_text("utf-8"))]
    assert len(rows) == len({*rows})


def family(name: str) -> str:
    """What is left of a name without its size: ``ml.m5.``, ``n1-standard-``, ``Standard_D_v3``."""
    return (
        re.sub(r"\d*xlarge$|large$|medium$", "", name) if name.startswith("ml.") else re.sub(r"\d+", "#", name, count=1)
    )


def test_a_larger_machine_of_a_family_costs_no_less(known: Catalogue) -> None:
    for region in {region for _, region in shipped(known.service)}:
        families: dict[object, list[tuple[float, int, Decimal]]] = {}
        for machine in known.machines:
            own = machine.accelerator
            price = known.prices.of(machine, region)
            if price is not None and price.on_demand is not None:
                of = (family(machine.name), own and own.kind, own and own.count)
                families.setdefault(of, []).append((machine.cpus, machine.memory, price.on_demand))
        for of, sizes in families.items():
            for (_, less, cheap), (_, more, dear) in pairwise(sorted(sizes)):
                assert more < less or cheap <= dear, (region, of, sizes)


def test_the_tables_are_written_as_they_are_read(known: Catalogue) -> None:
    data = machine_data(known.service)
    assert data is not None
    machines, prices = ((data.folder / f"{name}.csv").read_text("utf-8") for name in ("machines", "prices"))
    assert write_machines(read_machines(known.service, machines)) == machines
    assert write_prices(read_prices(prices)) == prices


# Rates that people read from the AWS price list themselves (service AmazonSageMaker): us-west-2, effective 2026-09-01;
# us-east-1, usage types USE1-Train:ml.m5.large (2026-08-11) and USE1-Train:ml.g5.2xlarge (2026-08-20);
# ap-northeast-1, APN1-Train:ml.g6.xlarge (2026-09-22); eu-central-1, ml.g5.xlarge-Training.
SAGEMAKER = [
    ("ml.m5.large", "us-east-1", "0.115"),
    ("ml.g5.2xlarge", "us-east-1", "1.515"),
    ("ml.g6.xlarge", "ap-northeast-1", "1.634"),
    ("ml.g5.xlarge", "eu-central-1", "1.76"),
    ("ml.m5.4xlarge", "us-west-2", "0.922"),
    ("ml.c5.2xlarge", "us-west-2", "0.408"),
    ("ml.g4dn.xlarge", "us-west-2", "0.7364"),
    ("ml.g4dn.2xlarge", "us-west-2", "0.94"),
    ("ml.g5.12xlarge", "us-west-2", "7.09"),
    ("ml.g5.48xlarge", "us-west-2", "20.36"),
    ("ml.g6.24xlarge", "us-west-2", "8.344"),
    ("ml.p2.8xlarge", "us-east-1", "8.64"),  # SageMaker's list of 2022
    ("ml.p3.16xlarge", "us-east-1", "28.152"),  # SageMaker's list of 2022
    ("ml.p4d.24xlarge", "us-west-2", "25.251286"),
    ("ml.p5.48xlarge", "us-west-2", "63.296"),
]
# https://cloud.google.com/vertex-ai/pricing, custom-trained models, us-central1, and Vertex AI's 15 % on Compute Engine's.
VERTEX = [
    ("n1-standard-4", "us-central1", "0.218499"),
    ("e2-standard-4", "us-central1", "0.154126"),
    ("g2-standard-4", "us-central1", "0.81293"),
]
# Azure's retail prices, Linux, on demand.
AZURE = [
    ("Standard_NC6s_v3", "eastus", "3.06"),
    ("Standard_NC4as_T4_v3", "westeurope", "0.658"),
    ("Standard_DS3_v2", "eastus", "0.293"),
    ("Standard_ND96isr_H100_v5", "eastus", "98.32"),
]
READ = [
    ("sagemaker", *row) for row in SAGEMAKER
] + [("vertex", *row) for row in VERTEX] + [("azureml", *row) for row in AZURE]  # fmt: skip


@pytest.mark.parametrize(("service", "name", "region", "read"), READ)
def test_prices_are_those_that_were_read_by_hand(service: str, name: str, region: str, read: str) -> None:
    known = shipped_catalogue(service)
    machine = known.machine(name)
    assert machine is not None
    price = known.prices.of(machine, region)
    assert price is not None
    assert price.on_demand is not None
    assert abs(price.on_demand / Decimal(read) - 1) < Decimal("0.005"), price


@pytest.mark.parametrize(
    ("service", "name", "cpus", "gib", "accelerator"),
    [  # the services' pages of instance types
        ("sagemaker", "ml.m5.4xlarge", 16, 64, None),
        ("sagemaker", "ml.c5.18xlarge", 72, 144, None),
        ("sagemaker", "ml.c4.xlarge", 4, 7.5, None),
        ("sagemaker", "ml.r5.large", 2, 16, None),
        ("sagemaker", "ml.g5.48xlarge", 192, 768, ("A10G", 8)),
        ("sagemaker", "ml.p4d.24xlarge", 96, 1152, ("A100", 8)),
        ("vertex", "n1-highmem-8", 8, 52, None),
        ("vertex", "a2-ultragpu-2g", 24, 340, ("A100-80GB", 2)),
        ("vertex", "g2-standard-24", 24, 96, ("L4", 2)),
        ("azureml", "Standard_DS1_v2", 1, 3.5, None),
        ("azureml", "Standard_F8s_v2", 8, 16, None),
        ("azureml", "Standard_NC24ads_A100_v4", 24, 220, ("A100-80GB", 1)),
    ],
)
def test_sizes_are_those_that_the_services_document(
    service: str, name: str, cpus: float, gib: float, accelerator: tuple[str, int] | None
) -> None:
    machine = shipped_catalogue(service).machine(name)
    assert machine is not None
    own = machine.accelerator
    assert (machine.cpus, machine.memory / 1024**3) == (cpus, gib)
    assert (own and (own.kind, own.count)) == accelerator


@pytest.mark.parametrize("service", ["sagemaker", "vertex"])
def test_derived_prices_are_marked_as_estimated(service: str) -> None:
    assert all(price.estimated for price in shipped(service).values())
    assert not any(price.estimated for price in shipped("azureml").values())


def test_a_type_that_takes_gpus_is_there_with_and_without() -> None:
    known = shipped_catalogue("vertex")
    plain, with_gpu = known.machine("n1-standard-8"), known.machine("n1-standard-8", Accelerator("T4", 2))
    assert plain is not None
    assert plain.accelerator is None
    assert with_gpu is not None
    assert with_gpu.spelling == "NVIDIA_TESLA_T4"
    assert known.machine("n1-standard-8", Accelerator("H100", 1)) is None
