"""Where a price comes from: the user's own, then what was fetched, then what is shipped; and what is said of it."""

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cloudtune.config import catalogue_of, load_profile, price_tables
from cloudtune.errors import ConfigError
from cloudtune.machines import Accelerator, Machine, Price
from cloudtune.machines.own_prices import OwnPrices, PriceTables
from cloudtune.machines.price_cache import cache_file, cached, keep
from cloudtune.machines.rows import PRICE_COLUMNS, read_machines, read_prices

TODAY = dt.date(2026, 11, 27)
G5 = Machine("sagemaker", "ml.g5.xlarge", 4, 16 * 2**30, Accelerator("A10G"))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def price(on_demand: str, *, region: str = "us-east-1", spot: str = "", day: dt.date = TODAY) -> Price:
    return Price(region, "USD", Decimal(on_demand), Decimal(spot) if spot else None, "a list", day)


def own(table: dict[str, Any], *names: str) -> OwnPrices:
    tables = PriceTables()
    tables.add(table, "cloudtune.toml", {"aws": "sagemaker"})
    return tables.of(names or ("sagemaker",))


def configured(folder: Path, text: str) -> Path:
    (folder / "cloudtune.toml").write_text(text)
    return folder


def of(project: Path, machine: str = "ml.g5.xlarge", on: str = "aws", region: str = "us-east-1") -> Price | None:
    catalogue = catalogue_of(load_profile(on, project), project)
    found = catalogue.machine(machine)
    assert found is not None
    return catalogue.prices.of(found, region)


def test_the_users_own_then_the_fetched_then_the_shipped(tmp_path: Path) -> None:
    shipped = of(tmp_path)
    assert shipped is not None
    assert shipped.on_demand == Decimal("1.4084")
    keep("sagemaker", [(G5.key, price("1.30"))])
    fetched = of(tmp_path)
    assert fetched is not None
    assert fetched.on_demand == Decimal("1.30")
    configured(tmp_path, '[prices.aws]\n"ml.g5.xlarge" = 1.10\n')
    negotiated = of(tmp_path)
    assert negotiated is not None
    assert (negotiated.on_demand, negotiated.source, negotiated.age(TODAY)) == (Decimal("1.10"), "your [prices]", None)


def test_a_price_that_nothing_says_is_none(tmp_path: Path) -> None:
    assert of(tmp_path, region="mars-north-1") is None
    assert of(tmp_path, "ct5lp-hightpu-1t", on="gcp", region="us-central1") is None


def test_a_discount_holds_for_what_is_listed(tmp_path: Path) -> None:
    configured(tmp_path, '[prices.sagemaker]\ndiscount = "12.5%"\n"ml.m5.large" = 0.1\n')
    g5, m5 = of(tmp_path), of(tmp_path, "ml.m5.large")
    assert g5 is not None
    assert g5.on_demand == Decimal("1.4084") * Decimal("0.875")
    assert g5.source == "EC2 × 1.4 less 12.5 %"
    assert g5.estimated
    assert m5 is not None
    assert m5.on_demand == Decimal("0.1")


def test_ones_own_machines_cost_by_the_hour_and_by_the_gpu() -> None:
    prices = own({"cluster": {"hour": 0.4, "gpu_hour": "1.20"}}, "ray", "cluster")
    plain = Machine("ray", "node", 8, 2**35)
    gpus = Machine("ray", "node", 8, 2**35, Accelerator("A100", 2))
    for machine, hourly in ((plain, "0.4"), (gpus, "2.8")):
        found = prices.of(machine, None, "")
        assert found is not None
        assert found.on_demand == Decimal(hourly)
    assert own({"ray": {"hour": 1}}, "ray").of(gpus, None, "") is None  # what its GPUs cost, is not said


def test_the_profiles_table_wins_over_its_providers_key_by_key() -> None:
    table = {"currency": "EUR", "aws": {"discount": 0.1, "ml.a": 1, "ml.b": 2}, "team": {"ml.b": {"spot": 3}}}
    prices = own(table, "sagemaker", "team")
    assert prices.currency == "EUR"
    assert prices.discount == Decimal("0.1")
    assert prices.machines == {"ml.a": (Decimal(1), None), "ml.b": (None, Decimal(3))}


def test_the_nearer_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "cloudtune"
    user.mkdir(parents=True)
    configured(user, '[prices.aws]\n"ml.a" = 1\n"ml.b" = 1\n')
    configured(tmp_path, '[prices.sagemaker]\n"ml.b" = 2\n')
    found = price_tables(tmp_path).of(["sagemaker"]).machines
    assert {name: amount for name, (amount, _) in found.items()} == {"ml.a": 1, "ml.b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prices = 3", "prices are tables"),
        ("[prices]\ncurrency = 3", "a code of three letters"),
        ("[prices]\naws = 3", r"write \[prices.aws\]"),
        ("[prices.aws]\ndiscount = 1.5", "a part of the price"),
        ('[prices.aws]\ndiscount = "much"', "a part of the price"),
        ("[prices.aws]\ndiscount = true", "a part of the price"),
        ("[prices.aws]\nhour = -1", "hour must be a price for an hour"),
        ("[prices.aws]\nhour = nan", "hour must be a price"),
        ('[prices.aws]\n"ml.a" = "cheap"', "ml.a must be a price"),
        ('[prices.aws]\n"ml.a" = {on-demand = 3}', "did you mean 'on_demand'"),
        ('[prices.aws]\n"ml.a" = {on_demand = 3, spot = 4}', "4 is above 3"),
    ],
)
def test_prices_that_are_none_are_refused_with_the_file_and_the_place(tmp_path: Path, text: str, message: str) -> None:
    configured(tmp_path, f"{text}\n")
    with pytest.raises(ConfigError, match=message) as refused:
        price_tables(tmp_path)
    assert str(tmp_path / "cloudtune.toml") in str(refused.value)


def test_old_prices_say_their_age() -> None:
    listed = price("1", day=dt.date(2026, 7, 20))
    assert listed.age(TODAY) == 130
    assert listed.described(TODAY) == "a list, 130 days old"
    assert price("1", day=dt.date(2026, 11, 26)).described(TODAY) == "a list, 1 day old"


def test_fetched_prices_replace_those_of_their_regions_and_keep_the_others() -> None:
    keep("sagemaker", [(G5.key, price("1")), (("ml.old", "", 0.0), price("9"))])
    keep("sagemaker", [(G5.key, price("2", region="eu-west-1"))])
    keep("sagemaker", [(G5.key, price("3", spot="1"))])
    found = {(key[0], each.region): each.on_demand for key, each in cached("sagemaker")}
    assert found == {("ml.g5.xlarge", "us-east-1"): 3, ("ml.g5.xlarge", "eu-west-1"): 2}
    assert not [path for path in cache_file("sagemaker").parent.iterdir() if path.suffix != ".csv"]


def test_a_user_whose_home_is_no_folder_has_neither_a_config_nor_fetched_prices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = of(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "/dev/null/none")
    assert cached("sagemaker") == []
    assert of(tmp_path) == expected


def test_a_damaged_table_is_said_and_replaced_by_the_next_fetch(tmp_path: Path) -> None:
    keep("sagemaker", [(G5.key, price("1"))])
    cache_file("sagemaker").write_text("what?\n")
    with pytest.raises(ConfigError, match="cloudtune prices update"):
        of(tmp_path)
    keep("sagemaker", [(G5.key, price("2"))])
    assert [each.on_demand for _, each in cached("sagemaker")] == [2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("m,,,r,USD,x,,no,2026-01-01,s", "line 2"),
        ("m,,,r,USD,-1,,no,2026-01-01,s", "-1 is no price"),
        ("m,,,r,USD,1,,no,yesterday,s", "line 2"),
        ("m,,,r,USD,1", "has not 10 columns"),
    ],
)
def test_a_row_that_is_none_is_said_with_its_line(row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_prices(",".join(PRICE_COLUMNS) + f"\n{row}\n"))


def test_a_table_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1: the columns must be name, cpus"):
        list(read_machines("cloud", "name,price\nm,1\n"))
