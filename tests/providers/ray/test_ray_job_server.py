"""The REST interface of a cluster's dashboard, as far as a driver's job needs it: without a cluster."""

import sys
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.spec.job import TuningJob
from cloudtune_ray.cluster import Cluster
from cloudtune_ray.job_server import _STATES, JobServer, packed
from cloudtune_ray.provider import RayProvider
from cloudtune_ray.settings import RaySettings

ADDRESS = "http://head.example.com:8265"


def test_every_state_of_a_job_is_known() -> None:
    common = pytest.importorskip("ray.dashboard.modules.job.common")
    assert set(_STATES) == {state.value for state in common.JobStatus}
    assert {name for name, state in _STATES.items() if state.ended} == {
        state.value for state in common.JobStatus if state.is_terminal()
    }


def test_a_profile_with_a_dashboard_has_its_driver_there(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = RayProvider({"address": ADDRESS, "token": "mellon"})
    assert (provider.away, provider.drives_there) == (True, True)
    host = provider.driver_host()
    assert isinstance(host, JobServer)
    assert host.endpoint == ADDRESS
    direct = RayProvider({"address": "ray://head:10001"})
    assert (direct.away, direct.drives_there, direct.driver_host()) == (False, False, direct)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert RaySettings(address=ADDRESS).wanted == "10.0.0.1:6379", "within a job, its cluster"
    assert RaySettings(address="ray://head:10001").wanted == "ray://head:10001"


def test_a_process_outside_of_the_cluster_does_not_connect_to_a_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="is a dashboard"):
        Cluster(RaySettings(address=ADDRESS))


def test_addresses_of_modules_are_left_to_ray_which_has_them_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    asked: list[str] = []

    class ClientBuilder:
        def __init__(self, address: str) -> None:
            asked.append(address)

        def __getattr__(self, name: str) -> Any:
            raise ConnectionError("nobody is there")

    monkeypatch.setitem(sys.modules, "made_up_ray", SimpleNamespace(ClientBuilder=ClientBuilder))
    with pytest.raises(ProviderError, match="the Ray cluster at made_up_ray://a/b .*nobody is there"):
        Cluster(RaySettings(address="made_up_ray://a/b"))
    assert asked == ["a/b"]
    with pytest.raises(ProviderError, match="the module nowhere_ray, .* cannot be imported .*kuberay://"):
        Cluster(RaySettings(address="nowhere_ray://x"))
    monkeypatch.setitem(sys.modules, "vertex_ray", None)
    with pytest.raises(ProviderError, match=r"pip install 'google-cloud-aiplatform\[ray\]'"):
        Cluster(RaySettings(address="vertex_ray://projects/p/locations/l/persistentResources/r"))


def test_a_driver_is_planned_as_a_job_whose_secrets_are_masked(tmp_path: Path) -> None:
    job = TuningJob.from_data({
        "name": "d",
        "trial": {"source": "source", "command": ["python", "cloudtune_driver.py"], "environment": {"SECRET": "mellon"}},
        "objective": {"metric": "finished", "goal": "maximize"},
        "space": {"start": {"type": "int", "low": 0, "high": 1}},
        "limits": {"trials": 1},
        "data": {"my table": str(tmp_path)},
    })  # fmt: skip
    plan = JobServer({"endpoint": ADDRESS}).plan(job)
    plan.refuse()
    assert plan.mode == "managed"
    assert plan.request["entrypoint"] == "python cloudtune_driver.py"
    assert plan.request["runtime_env"] == {
        "env_vars": {
            "SECRET": "***",
            "CLOUDTUNE_OUTPUT_DIR": "driver-output",
            "CLOUDTUNE_CHECKPOINT_DIR": "driver-checkpoint",
            "CLOUDTUNE_DATA_MY_TABLE": "inputs/my table",
        }
    }


def test_a_package_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "a.py").write_text("a")
    (tmp_path / "table.csv").write_text("1")
    places = {"": tmp_path / "src", "inputs/table": tmp_path / "table.csv"}
    first = packed(places)
    (tmp_path / "table.csv").touch()
    assert packed(places) == first
    assert zipfile.ZipFile(BytesIO(first)).namelist() == ["sub/a.py", "inputs/table"]
