"""Where the driver of a run on a cluster may be: on a machine with a kubeconfig, or in a Job of the same cluster, which keeps its journal on a volume."""

from pathlib import Path
from typing import Any

import pytest

from cloudtune import api
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.remote.resolving import driven_elsewhere, resolve
from cloudtune.spec.job import TuningJob

CONFIG = """
[profiles.team]
provider = "kubernetes"
image = "registry.example.com/training:1"

[profiles.kept]
provider = "kubernetes"
image = "registry.example.com/training:1"
output = "pvc://results"
driver_account = "driver"
service_account = "trials"
template = {spec = {nodeSelector = {pool = "small"}}}

[profiles.other]
provider = "kubernetes"
context = "other"
image = "registry.example.com/training:1"
output = "pvc://results"

[profiles.aws]
provider = "sagemaker"
region = "us-west-2"
role = "arn:aws:iam::123456789012:role/tuning"
image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/driver:1"
"""
JOB = TuningJob.from_data({
    "name": "line",
    "trial": {"command": "python train.py"},
    "objective": {"metric": "score", "goal": "maximize"},
    "space": {"x": {"type": "float", "low": 0, "high": 1}},
    "limits": {"trials": 2},
})  # fmt: skip
NOT_FROM_ELSEWHERE = r"a kubeconfig of this machine, which does not travel; leave --driver away"


@pytest.mark.parametrize(
    ("on", "driver", "said"),
    [
        ("team", "aws", NOT_FROM_ELSEWHERE),
        ("team,aws", "aws", NOT_FROM_ELSEWHERE),
        ("team", "other", r"another cluster than its trials: the profiles differ in .*context"),
        ("team", "team", r'journal on a volume.* output = "pvc://CLAIM/FOLDER"'),
        ("aws", "team", r"journal on a volume"),
    ],
)
def test_a_driver_elsewhere_is_refused_before_anything_is_made(tmp_path: Path, on: str, driver: str, said: str) -> None:
    (tmp_path / "cloudtune.toml").write_text(CONFIG)
    with pytest.raises((ConfigError, UnsupportedError), match=said):
        api.prepare(JOB, on, project=tmp_path, base=tmp_path, driver=driver)
    assert api.runs(project=tmp_path) == []


def test_a_driver_in_the_cluster_is_a_job_that_outlives_its_pods(tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text(CONFIG)
    provider, profile, folder = resolve("team", tmp_path)
    remote = driven_elsewhere(provider, profile, "kept", folder, None)
    host: Any = remote._driver_provider  # type: ignore[attr-defined]
    assert (provider.unreachable_from(host), host.keeps_appended) == ("", True)
    spec: Any = host.plan(JOB).request["spec"]
    first, *_ = spec["podFailurePolicy"]["rules"]
    assert (first["action"], first["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert spec["template"]["spec"]["serviceAccountName"] == "driver"
    assert spec["template"]["spec"]["nodeSelector"] == {"pool": "small"}
    assert not [line for line in host.plan(JOB).notes if line.support == "unsupported"]


def test_what_only_this_machine_has_does_not_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kubernetes")
    (tmp_path / "kubeconfig").write_text(
        "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: c, user: u, namespace: tuning}}],"
        " clusters: [{name: c, cluster: {server: 'https://example.com'}}], users: [{name: u, user: {token: hush}}]}"
    )
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_KUBECONFIG", str(tmp_path / "kubeconfig"))
    (tmp_path / "cloudtune.toml").write_text(CONFIG)
    provider, _, _ = resolve("team", tmp_path)
    there = provider.settings_elsewhere
    assert there["namespace"] == "tuning", "as the context here says"
    assert str(tmp_path) not in str(there)
    several, _, _ = resolve("team,aws", tmp_path)
    assert several.settings_elsewhere["profiles"]["team"][1] == there
