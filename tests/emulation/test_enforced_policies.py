"""What `check --policy` prints is what runs take: with it everything works in an enforcing emulator, without a line something fails."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from permitted_runs import Uses, lines_of, without

from cloudtune.emulation.authority import STRATEGY
from cloudtune.provider.interface import load_provider
from cloudtune.provider.permissions import HINT

if LATE:
    import boto3

ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/own:latest"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Service:
    """A service as these tests use it.

    Attributes:
        provider: its provider's name.
        profile: settings beside the emulator's own.
        fields: of jobs.
        package: without which its tests are skipped.
        furnish: makes what a profile needs there.
        forget: takes away what an earlier run has made for later ones.
    """

    provider: str
    package: str
    profile: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    furnish: Callable[[], None] = lambda: None
    forget: Callable[[], None] = lambda: None


def _make_image() -> None:
    registry = boto3.client("ecr")
    registry.create_repository(repositoryName="own")
    registry.put_image(
        repositoryName="own", imageManifest='{"schemaVersion": 2}', imageTag="latest", imageManifestMediaType=MANIFEST
    )


def _forget_logs() -> None:
    logs = boto3.client("logs")
    with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName="/aws/sagemaker/TrainingJobs")


SERVICES = {
    "aws": Service(
        "sagemaker",
        "moto",
        {"image": IMAGE},
        {"tags": {"team": "a"}, "compute": {"keep": "5m"}},
        furnish=_make_image,
        forget=_forget_logs,
    ),
    "gcp": Service(
        "vertex",
        "google.cloud.aiplatform_v1",
        {"service_account": "trials@p.iam.gserviceaccount.com"},
        {"compute": {"keep": "5m"}},
    ),
    "azure": Service("azureml", "azure.ai.ml", {}, {"identity": "managed", "data": {"train": "data"}}),
}


@contextmanager
def _emulated(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    service = SERVICES[name]
    pytest.importorskip(service.package)
    emulator = import_module(f"cloudtune_{service.provider}.emulator").Emulator(grace=0.2)
    with emulator, monkeypatch.context() as patch:
        settings = {**service.profile, "poll": "0.05"}
        own = {f"CLOUDTUNE_{service.provider.upper()}_{key.upper()}": value for key, value in settings.items()}
        for variable, value in {**emulator.environment, **own}.items():
            patch.setenv(variable, value)
        if name == "aws":
            boto3.DEFAULT_SESSION = None
        service.furnish()
        yield emulator
    if name == "aws":
        boto3.DEFAULT_SESSION = None


def _printed(name: str, emulator: Any) -> Any:
    """What `cloudtune check --policy` prints for the profile of an emulator."""
    service, prefix = SERVICES[name], f"CLOUDTUNE_{SERVICES[name].provider.upper()}_"
    own = {
        key.removeprefix(prefix).lower(): value for key, value in emulator.environment.items() if key.startswith(prefix)
    }
    return json.loads(json.dumps(load_provider(service.provider)({**own, **service.profile}).policy()))


def _lines(printed: Any) -> Iterator[tuple[Any, ...]]:
    """The lines of a policy, but for what a strategy takes: Vizier's tests have that."""
    return (line for line in lines_of(printed) if line[0] != STRATEGY)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("1")
    return tmp_path


@pytest.mark.parametrize("name", SERVICES)
def test_everything_works_with_exactly_the_printed_policy_and_every_line_of_it_is_asked_for(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _emulated(name, monkeypatch) as emulator:
        printed = _printed(name, emulator)
        emulator.enforce(printed)
        assert Uses(name, project, SERVICES[name].fields).all("managed", "driven") == {}
        asked = list(emulator.authority.asked)
        for line in _lines(printed):
            smaller, permission = without(printed, line)
            emulator.enforce(smaller)
            denied = [ask for who, ask in asked if who == line[0] and not emulator.authority.allows(who, ask)]
            assert permission.lower() in {ask.action.lower() for ask in denied}, (
                f"nobody needs {line[0]}'s {permission}"
            )


CELLS = [
    ("aws", "sagemaker:CreateHyperParameterTuningJob", "managed run"),
    ("aws", "s3:PutObject", "managed run"),
    ("aws", "s3:ListBucket", "managed run"),
    ("gcp", "aiplatform.hyperparameterTuningJobs.create", "managed run"),
    ("gcp", "storage.objects.create", "managed run"),
    ("azure", "Microsoft.MachineLearningServices/workspaces/jobs/write", "managed run"),
]
"""What is denied to the caller, and which use it keeps from beginning: cheap ones of all that the next test goes through."""


@pytest.mark.parametrize(("name", "permission", "use"), CELLS)
def test_a_denied_call_names_the_permission_the_resource_and_what_prints_all_that_is_needed(
    name: str, permission: str, use: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _emulated(name, monkeypatch) as emulator:
        printed = _printed(name, emulator)
        lines = {without(printed, line)[1]: line for line in lines_of(printed) if line[0] == "caller"}
        emulator.enforce(without(printed, lines[permission])[0])
        uses = Uses(name, project, SERVICES[name].fields)
        uses.run("managed")
        said = uses.problems[use]
        assert permission in said
        assert HINT in said
        denied = [ask.resource for who, ask in emulator.authority.asked if not emulator.authority.allows(who, ask)]
        assert any(resource in said or resource.rpartition(":::")[2].split("/")[0] in said for resource in denied)


@pytest.mark.complete
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SERVICES)
def test_without_any_line_of_the_printed_policy_something_fails(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _emulated(name, monkeypatch) as emulator:
        printed = _printed(name, emulator)
        for index, line in enumerate(_lines(printed)):
            smaller, permission = without(printed, line)
            emulator.enforce(None)
            SERVICES[name].forget()
            emulator.enforce(smaller)
            folder = project / str(index)
            folder.mkdir()
            (folder / "data").mkdir()
            (folder / "data" / "numbers.txt").write_text(str(index))
            problems = Uses(name, folder, SERVICES[name].fields).all("managed", "driven")
            assert problems, f"everything works without {line[0]}'s {permission}"
            if line[0] == "caller":
                clear = [said for said in problems.values() if permission.lower() in said.lower() and HINT in said]
                assert clear, f"nothing says that {permission} is missing: {problems}"
