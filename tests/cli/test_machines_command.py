"""The commands machines and prices."""

import json
from pathlib import Path

import pytest

from cloudtune.cli.app import run_app


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert run_app(["machines", *arguments, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_the_cheapest_of_all_services_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, "--accelerator", "T4")
    assert [(each["service"], each["machine"]) for each in found[:3]] == [
        ("azureml", "Standard_NC4as_T4_v3"),
        ("vertex", "n1-standard-4"),
        ("sagemaker", "ml.g4dn.xlarge"),
    ]
    assert found[0]["price"] == {
        "region": "eastus",
        "currency": "USD",
        "on_demand": "0.526",
        "spot": None,
        "source": "Azure's retail prices",
        "date": "2026-06-18",
        "estimated": False,
    }


def test_one_service_in_one_region(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, "--on", "aws", "--cpus", "8", "--memory", "32GB", "--region", "eu-west-1")
    assert found[0]["machine"] == "ml.m5.2xlarge"
    assert {each["service"] for each in found} == {"sagemaker"}


def test_the_profiles_region_and_prices_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cloudtune.toml").write_text(
        '[profiles.team]\nprovider = "vertex"\nlocation = "europe-west4"\n[prices.team]\n"g2-standard-4" = 0.1\n'
    )
    assert run_app(["machines", "--on", "team", "--accelerator", "L4"]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert "0.1000 USD" in first
    assert "europe-west4" in first
    assert "your [prices]" in first


def test_an_unknown_price_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["machines", "--on", "gcp", "--accelerator", "TPU-v5e"]) == 0
    assert "price not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--accelerator", "A10O"], "did you mean 'A10'"),
        (["--accelerator", "A100:two"], "KIND:COUNT"),
        (["--memory", "much"], "write a size"),
        (["--cpus", "0"], "range"),
        (["--on", "local"], "lists no machines"),
    ],
)
def test_what_is_not_there_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run_app(["machines", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_machine_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["machines", "--on", "aws", "--cpus", "100000"]) == 0
    assert "no machine that is known has 100000 CPUs" in capsys.readouterr().err
