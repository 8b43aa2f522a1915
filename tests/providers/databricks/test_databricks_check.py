"""`cloudtune check` on Databricks: who is logged in, the volume, the compute, and what to grant; no secret is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.errors import ConfigError
from cloudtune.provider.interface import Finding
from cloudtune_databricks.provider import DatabricksProvider

if LATE:
    pytest.importorskip("databricks.sdk")
    from cloudtune_databricks.emulator import DatabricksEmulator

VOLUME = "/Volumes/main/default/tuning"


@pytest.fixture(scope="module")
def emulator() -> Iterator[DatabricksEmulator]:
    with DatabricksEmulator() as running:
        yield running


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login of this machine's user is found."""
    for name in ("HOST", "TOKEN", "CONFIG_PROFILE", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "databrickscfg"))
    monkeypatch.setenv("HOME", str(tmp_path))


def found(settings: dict[str, Any]) -> dict[str, Finding]:
    return {each.subject: each for each in DatabricksProvider(settings).check()}


def test_what_is_there_and_what_is_not_is_told(emulator: DatabricksEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "TOKEN"):
        monkeypatch.setenv(f"DATABRICKS_{name}", emulator.environment[f"DATABRICKS_{name}"])
    known = {"endpoint": emulator.url, "volume": VOLUME, "cluster": "0101-000000-emulated"}
    good = found(known)
    assert all(each.ok is not False for each in good.values()), good
    assert "emulated@example.com" in good["workspace"].message
    assert "running" in good["cluster"].message
    assert not list((emulator.volumes.folder / "main" / "default" / "tuning").iterdir()), "nothing is left there"
    bad = found({**known, "volume": "/Volumes/main/default/other", "cluster": "0101-0-none"})
    assert (bad["volume"].ok, bad["cluster"].ok) == (False, False)
    assert "does not exist" in bad["volume"].message
    assert found({"endpoint": emulator.url})["volume"].ok is False
    assert found({**known, "identity": "6af3c5d2"})["identity"].ok is False
    assert "identity" not in found({**known, "identity": "6af3c5d2", "folder": "/Workspace/Shared/cloudtune"})
    assert found({**known, "cluster": "", "instance": "m5.xlarge"})["compute"].ok is False


def test_without_a_login_it_says_how_to_log_in_and_prints_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "databricks auth login" in found({"volume": VOLUME})["workspace"].message
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "dose-s3cr3t")
    assert "s3cr3t" not in str(found({"volume": VOLUME}))


def test_no_real_token_is_sent_to_an_emulator(emulator: DatabricksEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://adb-1.azuredatabricks.net")
    monkeypatch.setenv("DATABRICKS_TOKEN", emulator.token)
    said = found({"endpoint": emulator.url, "volume": VOLUME})["workspace"]
    assert said.ok is False
    assert "log in again" in said.message


def test_the_policy_has_the_grants_and_permissions_of_the_profile() -> None:
    settings = {"volume": VOLUME, "cluster": "c-1", "identity": "6af3c5d2", "experiment": "/Users/me/tuning"}
    printed = json.loads(json.dumps(DatabricksProvider(settings).policy()))
    assert (
        "GRANT READ VOLUME, WRITE VOLUME ON VOLUME `main`.`default`.`tuning` TO `PRINCIPAL`"
        in printed["identity"]["grants"]
    )
    levels = {each["object"]: each["permission_level"] for each in printed["caller"]["permissions"]}
    assert levels == {
        "clusters/c-1": "CAN_RESTART",
        "servicePrincipals/6af3c5d2": "roles/servicePrincipal.user",
        "experiments/Users/me/tuning": "CAN_EDIT",
    }
    assert printed["caller"]["entitlements"] == ["workspace-access"]
    own = DatabricksProvider({"volume": VOLUME, "instance": "m5.xlarge"}).policy()["caller"]
    assert own["entitlements"] == ["workspace-access", "allow-cluster-create"]
    with pytest.raises(ConfigError, match="grants are on a volume"):
        DatabricksProvider({}).policy()


@pytest.mark.parametrize("volume", ["/Volumes/main", "/Workspace/x", "s3://bucket/x", "main.default.tuning"])
def test_a_volume_that_is_none_is_refused(volume: str) -> None:
    with pytest.raises(ConfigError, match="is no folder of a volume"):
        DatabricksProvider({"volume": volume})
