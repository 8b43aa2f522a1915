"""`cloudtune check --policy` prints what a profile needs, in a form that `cloudtune emulate --policy` takes back."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from cloudtune.cli import emulating
from cloudtune.cli.app import run_app

PROFILES = """
[profiles.team]
provider = "sagemaker"
region = "eu-west-1"
role = "arn:aws:iam::123456789012:role/tuning"

[profiles.google]
provider = "vertex"
project = "corp"
bucket = "tuning"
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_CLOUD_PROJECT", "AZURE_SUBSCRIPTION_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cloudtune.toml").write_text(PROFILES)
    monkeypatch.chdir(tmp_path)


def test_the_policy_of_a_profile_is_the_services_own_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["check", "--on", "team", "--policy"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert set(whole) == {"caller", "identity"}
    assert run_app(["check", "--on", "team", "--policy", "--for", "identity", "--mode", "driven"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["Version"] == "2012-10-17"
    assert one == whole["identity"]


def test_googles_roles_are_yaml_as_gcloud_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["check", "--on", "google", "--policy", "--for", "caller"]) == 0
    role = yaml.safe_load(capsys.readouterr().out)["gs://tuning"]["role"]
    assert set(role) == {"title", "description", "stage", "includedPermissions"}


def test_what_has_no_policy_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["check", "--on", "local", "--policy"]) == 2
    assert "runs on local take no permissions of a cloud service" in capsys.readouterr().err
    assert run_app(["check", "--on", "google", "--policy", "--for", "identity"]) == 2
    assert "needs no policy for its identity" in capsys.readouterr().err
    assert run_app(["check", "--on", "team,google", "--policy"]) == 2
    assert "ask for --on team and --on google" in capsys.readouterr().err
    assert run_app(["check", "--on", "gcp", "--policy"]) == 2
    assert 'write project = "…" in the profile' in capsys.readouterr().err
    assert run_app(["check", "--on", "azure", "--policy"]) == 2
    assert 'write subscription = "…", resource_group = "…", workspace = "…"' in capsys.readouterr().err
    assert run_app(["check", "--on", "team", "--mode", "driven"]) == 2
    assert "--for and --mode go with --policy" in capsys.readouterr().err


def test_an_emulator_enforces_the_policy_of_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto")
    assert run_app(["check", "--on", "team", "--policy", "--mode", "managed"]) == 0
    Path("policy.json").write_text(capsys.readouterr().out)
    seen = []

    def look(_: socket.socket) -> None:
        variables = json.loads(capsys.readouterr().out)
        client = boto3.client(
            "sagemaker",
            region_name="eu-west-1",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        assert client.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.list_training_jobs()
        seen.append(refused.value.response["Error"]["Code"])

    monkeypatch.setattr(emulating, "_wait_for_signal", look)
    assert run_app(["emulate", "aws", "--json", "--policy", "policy.json"]) == 0
    assert seen == ["AccessDeniedException"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("[]", "policy.json has no policies; write them with: cloudtune check --policy"), ('{"a": {}}', "it has 'a'")],
)
def test_a_file_without_policies_is_refused(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("policy.json").write_text(text)
    assert run_app(["emulate", "aws", "--policy", "policy.json"]) == 2
    assert said in capsys.readouterr().err


def test_places_of_the_config_are_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "cloudtune.toml").open("a") as config:
        config.write('[places]\n"s3://elsewhere/train" = {vertex = "gs://there/train"}\n')
    assert run_app(["check", "--on", "team", "--policy", "--for", "identity"]) == 0
    assert "arn:aws:s3:::elsewhere/train/*" in capsys.readouterr().out
