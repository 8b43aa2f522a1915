"""Machines by what a job needs, equivalents of others' types, and names of accelerators."""

from decimal import Decimal

import pytest

from cloudtune.machines import Accelerator, Catalogue, Machine, Needs, Price, Prices
from cloudtune.machines.accelerators import accelerator, kinds, neutral
from cloudtune.machines.machine import GIB
from cloudtune.machines.prices import Table, table_of


def machine(name: str, cpus: float, gib: float, kind: str = "", count: float = 1, service: str = "cloud") -> Machine:
    own = Accelerator(kind, count) if kind else None
    return Machine(service, name, cpus, int(gib * GIB), own)


MACHINES = (
    machine("small", 2, 8),
    machine("middle", 8, 32),
    machine("wide", 8, 64),
    machine("large", 16, 64),
    machine("one-t4", 4, 16, "T4"),
    machine("four-t4", 48, 192, "T4", 4),
    machine("a100-large", 24, 220, "A100-80GB"),
    machine("eight-a100", 96, 900, "A100", 8),
    machine("l4", 4, 16, "L4"),
    machine("shared", 6, 55, "A10", 0.1666),
)
COSTS = {"small": "0.10", "middle": "0.40", "wide": "0.38", "large": "0.80", "one-t4": "0.5", "four-t4": "4",
         "a100-large": "3.7", "eight-a100": "27"}  # fmt: skip
SPOT = {"middle": "0.10", "wide": "0.2"}


def listed() -> Table:
    rows = []
    for each in MACHINES:
        if each.name in COSTS:
            spot = Decimal(SPOT[each.name]) if each.name in SPOT else None
            rows.append((each.key, Price("here", "USD", Decimal(COSTS[each.name]), spot, "a list")))
    return table_of(rows)


KNOWN = Catalogue("cloud", MACHINES, Prices("cloud", None, [listed()]), "here")


def found(needs: Needs, *, region: str | None = None, spot: bool = False) -> list[str]:
    return [offer.machine.name for offer in KNOWN.find(needs, region, spot=spot)]


def test_the_cheapest_that_has_it_comes_first() -> None:
    assert found(Needs(8, 30 * 10**9)) == ["wide", "middle", "large"]
    assert found(Needs(memory=50 * 10**9)) == ["wide", "large"]


def test_by_the_price_of_spot_capacity_those_without_one_come_last() -> None:
    assert found(Needs(8), spot=True) == ["middle", "wide", "large"]


def test_accelerators_are_at_least_as_many_and_a_larger_one_of_the_same_chip_does() -> None:
    assert found(Needs(accelerator=accelerator("T4"))) == ["one-t4", "four-t4"]
    assert found(Needs(accelerator=accelerator("T4", 2))) == ["four-t4"]
    assert found(Needs(accelerator=accelerator("A100"))) == ["a100-large", "eight-a100"]
    assert found(Needs(accelerator=accelerator("A100-80GB"))) == ["a100-large"]
    assert found(Needs(accelerator=accelerator("A10"))) == []  # a share is not one


def test_no_machine_with_accelerators_where_none_are_needed() -> None:
    assert found(Needs(24)) == []


def test_all_where_nothing_is_needed() -> None:
    assert len(found(Needs())) == len(MACHINES)


def test_a_price_of_another_region_is_none() -> None:
    assert [offer.price for offer in KNOWN.find(Needs(16), "elsewhere")] == [None]


@pytest.mark.parametrize(
    ("wanted", "likest"),
    [
        (machine("x", 8, 30, service="other"), "middle"),
        (machine("x", 4, 16, "T4", service="other"), "one-t4"),
        (machine("x", 32, 128, "T4", 4, service="other"), "four-t4"),
        (machine("x", 4, 16, "A10G", service="other"), "l4"),  # as much memory
        (machine("x", 4, 61, "K80", service="other"), "one-t4"),  # the least that is not less
        (machine("x", 96, 1152, "A100", 8, service="other"), "eight-a100"),
        (machine("x", 8, 50, service="other"), "wide"),  # rather more than less
    ],
)
def test_equivalents_have_the_like_accelerator_and_the_nearest_size(wanted: Machine, likest: str) -> None:
    offer = KNOWN.equivalent(wanted)
    assert offer is not None
    assert offer.machine.name == likest


def test_there_is_no_equivalent_without_an_accelerator_of_the_maker() -> None:
    assert KNOWN.equivalent(machine("x", 8, 32, "Trainium")) is None
    assert KNOWN.equivalent(machine("x", 8, 32, "B200")) is None


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_spelling_of_an_accelerator_is_one_kind(kind: str) -> None:
    for spelling in (kind, *kinds()[kind].aliases):
        assert neutral(spelling) == kind
        assert neutral(spelling.lower().replace("_", "-")) == kind
    assert all(other in kinds() for other in kinds()[kind].also)


def test_an_unknown_accelerator_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no accelerator 'A10O'; did you mean 'A10'"):
        accelerator("A10O")


def test_needs_and_sizes_are_said_in_words() -> None:
    assert str(Needs(8, 32 * 10**9, accelerator("A100", 2))) == "2 × A100, 8 CPUs, 32 GB"
    assert MACHINES[5].size == "48 CPUs, 192 GiB, 4 × T4"
    assert machine("x", 1, 3.5).size == "1 CPU, 3.5 GiB"
