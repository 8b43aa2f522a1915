"""The roles of a Vertex AI profile, and how the emulator enforces roles."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from late import LATE

from cloudtune.emulation.authority import Ask
from cloudtune_vertex.policy import policies
from cloudtune_vertex.settings import VertexSettings

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    import grpc
    from google.api_core import exceptions
    from google.cloud import storage
    from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient

    from cloudtune_vertex.client import plain_transport
    from cloudtune_vertex.emulator import VertexEmulator
    from cloudtune_vertex.emulator.permissions import GooglePolicy, asks_of_trial

ACCOUNT = "trials@corp.iam.gserviceaccount.com"


def included(grants: Any, resource: str) -> list[str]:
    names: list[str] = grants[resource]["role"]["includedPermissions"]
    return names


def test_roles_are_granted_where_they_are_needed_alone() -> None:
    found = policies(VertexSettings(project="corp", bucket="tuning", service_account=ACCOUNT))
    assert set(found["caller"]) == {"projects/corp", "gs://tuning", f"projects/corp/serviceAccounts/{ACCOUNT}"}
    assert not [name for name in included(found["caller"], "projects/corp") if name.startswith("storage.")]
    assert included(found["caller"], f"projects/corp/serviceAccounts/{ACCOUNT}") == ["iam.serviceAccounts.actAs"]
    assert included(found["identity"], "gs://tuning") == [
        f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list")
    ]
    assert found["caller"]["gs://tuning"]["predefined"][0] == "roles/storage.objectUser"


def test_a_profile_without_a_bucket_makes_one_and_the_services_own_agent_needs_no_role() -> None:
    found = policies(VertexSettings(project="corp"))
    assert set(found) == {"caller", "strategy"}
    assert "storage.buckets.create" in included(found["caller"], "projects/corp")
    assert set(found["caller"]) == {"projects/corp", "gs://corp-vertex-staging-us-central1"}


def test_outputs_of_the_profile_may_be_in_another_bucket() -> None:
    found = policies(VertexSettings(project="corp", bucket="one", output="gs://two/x", service_account=ACCOUNT))
    assert included(found["identity"], "gs://one") == included(found["identity"], "gs://two")


def test_a_mode_has_its_own_permissions() -> None:
    managed, driven = (policies(VertexSettings(project="corp"), mode)["caller"] for mode in ("managed", "driven"))
    assert "aiplatform.customJobs.create" not in included(managed, "projects/corp")
    assert "aiplatform.hyperparameterTuningJobs.create" not in included(driven, "projects/corp")


def test_a_role_counts_below_the_resource_that_it_is_granted_on() -> None:
    role = {"role": {"includedPermissions": ["storage.objects.get", "aiplatform.customJobs.get"]}}
    bucket, project = GooglePolicy({"gs://b": role}), GooglePolicy({"projects/p": role})
    assert bucket.allows(Ask("storage.objects.get", "gs://b/x/y"))
    assert not bucket.allows(Ask("storage.objects.get", "gs://bb/x"))
    assert project.allows(Ask("storage.objects.get", "gs://bb/x"))
    assert project.allows(Ask("aiplatform.customJobs.get", "projects/p/locations/l/customJobs/1"))
    assert not project.allows(Ask("aiplatform.customJobs.get", "projects/pp/locations/l/customJobs/1"))
    assert not project.allows(Ask("aiplatform.customJobs.list", "projects/p"))


def test_a_trial_takes_the_buckets_that_its_spec_names() -> None:
    spec = {"workerPoolSpecs": [{"containerSpec": {"env": [{"name": "D", "value": "gs://data/x"}], "args": ["/gcs/code/y"]}}]}  # fmt: skip
    asked = {(ask.action.rpartition(".")[2], ask.resource) for ask in asks_of_trial(spec, "gs://out/1")}
    reads = {(verb, f"gs://{bucket}") for bucket in ("data", "code", "out") for verb in ("list", "get")}
    assert asked == reads | {("create", "gs://out"), ("delete", "gs://out")}


@pytest.fixture(scope="module")
def denying() -> Any:
    with VertexEmulator() as emulator:
        emulator.buckets.put(emulator.bucket, "there", b"1", {})
        emulator.enforce({"caller": {"projects/other": {"role": {"includedPermissions": []}}}})
        yield emulator


def asked_over_rest(emulator: VertexEmulator, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {emulator.credentials.token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{emulator._http.url}{path}", data, headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    return refused.value.code, json.loads(refused.value.read())


def test_a_denied_call_is_answered_as_each_service_does(denying: VertexEmulator) -> None:
    status, answer = asked_over_rest(denying, f"/v1/{denying.parent}/customJobs")
    assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert answer["error"]["message"] == (
        f"Permission 'aiplatform.customJobs.list' denied on resource '//aiplatform.googleapis.com/{denying.parent}' "
        "(or it may not exist)."
    )
    (info,) = answer["error"]["details"]
    assert info["reason"] == "IAM_PERMISSION_DENIED"
    assert info["metadata"] == {"permission": "aiplatform.customJobs.list", "resource": denying.parent}
    names = {"resourceNames": [f"projects/{denying.project}"]}
    status, answer = asked_over_rest(denying, "/v2/entries:list", names)
    assert (status, answer["error"]["details"][0]["domain"]) == (403, "logging.googleapis.com")
    status, answer = asked_over_rest(denying, f"/storage/v1/b/{denying.bucket}/o/there")
    assert (status, answer["error"]["errors"][0]["reason"]) == (403, "forbidden")
    assert "does not have storage.objects.get access to the Google Cloud Storage object" in answer["error"]["message"]


def test_over_grpc_the_details_come_with_the_status(denying: VertexEmulator) -> None:
    client = JobServiceClient(transport=plain_transport(f"http://{denying.target}", denying.credentials))
    with pytest.raises(exceptions.PermissionDenied) as refused:
        client.create_custom_job(parent=denying.parent, custom_job=CustomJob(display_name="x"))
    assert refused.value.reason == "IAM_PERMISSION_DENIED"
    assert refused.value.metadata["permission"] == "aiplatform.customJobs.create"
    assert refused.value.grpc_status_code is grpc.StatusCode.PERMISSION_DENIED


def test_who_may_make_objects_may_not_overwrite_them_and_missing_ones_are_not_told(denying: VertexEmulator) -> None:
    role = {"role": {"includedPermissions": ["storage.objects.create", "storage.objects.get"]}}
    denying.enforce({"caller": {f"gs://{denying.bucket}": role}})
    client = storage.Client(denying.project, denying.credentials, client_options={"api_endpoint": denying._http.url})
    bucket = client.bucket(denying.bucket)
    bucket.blob("new").upload_from_string("1")
    for make in (lambda: bucket.blob("there").upload_from_string("2"), lambda: bucket.blob("new").upload_from_string("2", if_generation_match=0)):  # fmt: skip
        with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete"):
            make()
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.list"):
        bucket.blob("missing").download_as_bytes()
    assert bucket.blob("there").download_as_bytes() == b"1"


def test_places_of_the_config_in_other_buckets_are_read_alone() -> None:
    settings = VertexSettings(project="corp", bucket="one", service_account=ACCOUNT)
    found = policies(settings, None, ["gs://data/train", "gs://data/test", "gs://one/more"])
    assert included(found["identity"], "gs://data") == ["storage.objects.get", "storage.objects.list"]
    assert found["identity"]["gs://data"]["predefined"] == ["roles/storage.objectViewer"]
    assert "storage.objects.create" in included(found["identity"], "gs://one")
    assert "gs://data" not in found["caller"]
