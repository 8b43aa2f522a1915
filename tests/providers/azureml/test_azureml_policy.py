"""The role definitions of an Azure Machine Learning profile, and how the emulator enforces roles."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
from late import LATE

from cloudtune.emulation.authority import Ask
from cloudtune.errors import CredentialError
from cloudtune.provider.permissions import HINT
from cloudtune_azureml.policy import data_actions, policies
from cloudtune_azureml.settings import AzureMlSettings

if LATE:
    pytest.importorskip("azure.ai.ml")
    from azure.core.exceptions import HttpResponseError

    from cloudtune_azureml.client import translated
    from cloudtune_azureml.emulator import AzureMlEmulator
    from cloudtune_azureml.emulator.permissions import AzurePolicy, asks_of

ML = "Microsoft.MachineLearningServices"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
SPACE = f"/subscriptions/s/resourceGroups/g/providers/{ML}/workspaces/w"


def test_roles_have_the_scopes_of_the_profile_and_data_actions_of_their_own() -> None:
    found = policies(AzureMlSettings(subscription="s", resource_group="g", workspace="w"))
    own, quotas = found["caller"]
    assert own["AssignableScopes"] == ["/subscriptions/s/resourceGroups/g"]
    assert own["DataActions"] == [f"{BLOBS}/read", f"{BLOBS}/write"] == data_actions()
    assert f"{ML}/workspaces/jobs/write" in own["Actions"]
    assert not [action for action in own["Actions"] if "*" in action or action.startswith(BLOBS)]
    assert (quotas["Actions"], quotas["AssignableScopes"]) == ([f"{ML}/locations/usages/read"], ["/subscriptions/s"])
    (identity,) = found["identity"]
    assert (identity["Actions"], identity["DataActions"]) == ([], [f"{BLOBS}/read", f"{BLOBS}/write"])


@pytest.mark.parametrize(
    ("method", "path", "action", "scope"),
    [
        ("GET", SPACE, "workspaces/read", SPACE),
        ("GET", f"{SPACE}/jobs", "workspaces/jobs/read", f"{SPACE}/jobs"),
        ("PUT", f"{SPACE}/jobs/j", "workspaces/jobs/write", f"{SPACE}/jobs/j"),
        ("DELETE", f"{SPACE}/jobs/j", "workspaces/jobs/delete", f"{SPACE}/jobs/j"),
        ("POST", f"{SPACE}/jobs/j/cancel", "workspaces/jobs/cancel/action", f"{SPACE}/jobs/j/cancel"),
        ("POST", f"{SPACE}/codes/c/versions/1/startPendingUpload", "workspaces/codes/versions/startPendingUpload/action", None),
        ("GET", f"/subscriptions/s/providers/{ML}/locations/l/usages", "locations/usages/read", None),
        ("POST", f"/mlflow/v1.0{SPACE}/api/2.0/mlflow/runs/search", "workspaces/experiments/runs/read", SPACE),
        ("POST", f"/mlflow/v1.0{SPACE}/api/2.0/mlflow/runs/log-metric", "workspaces/experiments/runs/write", SPACE),
        ("GET", f"/mlflow/v1.0{SPACE}/api/2.0/mlflow/experiments/get-by-name", "workspaces/experiments/read", SPACE),
        ("PATCH", f"/history/v1.0{SPACE}/runs/r", "workspaces/experiments/runs/write", SPACE),
        ("POST", f"/history/v1.0{SPACE}/rundata", "workspaces/experiments/runs/read", SPACE),
    ],
)  # fmt: skip
def test_a_request_takes_the_operation_of_its_method_and_path(
    method: str, path: str, action: str, scope: str | None
) -> None:
    (ask,) = asks_of(method, path)
    assert ask.action == f"{ML}/{action}"
    assert scope in (None, ask.resource)


def test_roles_have_wildcards_exceptions_and_scopes() -> None:
    role = {"Name": "r", "Actions": [f"{ML}/workspaces/*/read"], "NotActions": [f"{ML}/workspaces/jobs/read"], "DataActions": [f"{BLOBS}/*"], "AssignableScopes": ["/subscriptions/S/resourcegroups/g"]}  # fmt: skip
    policy = AzurePolicy(role)
    assert policy.allows(Ask(f"{ML}/workspaces/codes/versions/read", SPACE))
    assert policy.allows(Ask(f"{ML}/workspaces/computes/READ", f"{SPACE}/computes/c"))
    assert not policy.allows(Ask(f"{ML}/workspaces/jobs/read", SPACE))
    assert not policy.allows(Ask(f"{ML}/workspaces/codes/versions/write", SPACE))
    assert policy.allows(Ask(f"{BLOBS}/write", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/x"))
    assert not policy.allows(Ask(f"{BLOBS}/write", "/subscriptions/s/resourceGroups/gg/x"))
    with pytest.raises(ValueError, match="the role r has no Actions"):
        AzurePolicy({"Name": "r", "AssignableScopes": ["/"]})


def test_datastores_of_the_config_beside_the_workspaces_own_take_a_role_that_reads() -> None:
    settings = AzureMlSettings(subscription="s", resource_group="g", workspace="w")
    inputs = [
        "azureml://datastores/lake/paths/train",
        "azureml://datastores/workspaceblobstore/paths/x",
        "azureml:table:1",
    ]
    found = policies(settings, None, inputs)["identity"]
    assert [role["Name"] for role in found] == [
        "cloudtune identity, the workspace w",
        "cloudtune inputs, the datastores lake",
    ]
    assert (found[1]["Actions"], found[1]["DataActions"]) == ([], [f"{BLOBS}/read"])
    assert "assign it on the storage accounts of the datastores lake" in found[1]["Description"]


@pytest.fixture(scope="module")
def denying() -> Any:
    nothing = {"Name": "nothing", "Actions": ["none"], "AssignableScopes": ["/subscriptions/elsewhere"]}
    with AzureMlEmulator() as emulator:
        emulator.blobs.put("azureml", "there", b"1")
        emulator.enforce({"caller": nothing})
        yield emulator


def answer(emulator: AzureMlEmulator, path: str, *, token: bool = True) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {emulator._tokens.access}"} if token else {}
    trusted = ssl.create_default_context(cafile=str(emulator.certificate))
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{emulator.url}{path}", headers=headers), context=trusted) as found:  # fmt: skip
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_denied_request_is_answered_as_each_service_does(denying: AzureMlEmulator) -> None:
    status, text = answer(denying, f"{denying.arm_id}/jobs/x?api-version=2024-04-01")
    assert (status, json.loads(text)["error"]["code"]) == (403, "AuthorizationFailed")
    assert f"to perform action '{ML}/workspaces/jobs/read' over scope '{denying.arm_id}/jobs/x'" in text
    status, text = answer(denying, "/blob/azureml/there")
    assert status == 403
    assert "<Code>AuthorizationPermissionMismatch</Code>" in text
    assert "not authorized to perform this operation using this permission" in text


def test_a_signed_address_takes_no_role(denying: AzureMlEmulator) -> None:
    assert answer(denying, f"/blob/azureml/there?{denying._tokens.shared_access}", token=False) == (200, "1")


@pytest.mark.parametrize(
    "said",
    [
        "This request is not authorized to perform this operation using this permission.",
        "You don't have permission to alter this storage account. Ensure that you have been assigned both roles.",
    ],
)
def test_what_storage_refuses_is_told_with_the_data_actions_that_it_does_not_name(said: str) -> None:
    with pytest.raises(CredentialError) as refused, translated("making a job"):
        raise HttpResponseError(said)
    assert f"{BLOBS}/read and {BLOBS}/write" in str(refused.value)
    assert HINT in str(refused.value)
