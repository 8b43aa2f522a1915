"""The IAM policies of a profile, and how the emulator enforces any policy: it reads requests by botocore's model."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from late import LATE

from cloudtune.emulation.authority import Ask
from cloudtune.errors import ConfigError
from cloudtune_sagemaker.policy import policies
from cloudtune_sagemaker.settings import SageMakerSettings

if LATE:
    pytest.importorskip("moto")
    import boto3
    from botocore.exceptions import ClientError
    from moto.iam.policy_validation import IAMPolicyDocumentValidator

    from cloudtune_sagemaker.emulator import SageMakerEmulator
    from cloudtune_sagemaker.emulator.permissions import Request, asks_of
    from cloudtune_sagemaker.emulator.policies import IamPolicy
    from cloudtune_sagemaker.emulator.s3_operations import actions, operation

ROLE = "arn:aws:iam::123456789012:role/tuning"


def statements(document: Any) -> dict[str, Any]:
    return {each["Sid"]: each for each in document["Statement"]}


def test_resources_are_those_of_the_profile() -> None:
    settings = SageMakerSettings(region="eu-west-1", role=ROLE, bucket="corp", prefix="team/tuning")
    found = policies(settings)
    caller, identity = statements(found["caller"]), statements(found["identity"])
    assert caller["Objects"]["Resource"] == "arn:aws:s3:::corp/team/tuning/*"
    assert caller["Bucket"]["Resource"] == "arn:aws:s3:::corp"
    assert caller["PassedRole"] == {
        "Sid": "PassedRole",
        "Effect": "Allow",
        "Action": ["iam:PassRole"],
        "Resource": ROLE,
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    assert caller["TuningJob"]["Resource"] == "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/*"
    assert identity["Objects"]["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert not [action for each in found["caller"]["Statement"] for action in each["Action"] if "*" in action]


def test_what_the_profile_does_not_say_is_any() -> None:
    found = statements(policies(SageMakerSettings())["caller"])
    assert found["PassedRole"]["Resource"] == "arn:aws:iam::*:role/*"
    assert found["Bucket"]["Resource"] == "arn:aws:s3:::sagemaker-*-*"
    china = statements(policies(SageMakerSettings(region="cn-north-1"))["caller"])
    assert china["TrainingJob"]["Resource"] == "arn:aws-cn:sagemaker:cn-north-1:*:training-job/*"


def test_outputs_of_the_profile_may_be_elsewhere() -> None:
    found = statements(policies(SageMakerSettings(bucket="corp", output="s3://results/a/"))["identity"])
    assert found["Objects"]["Resource"] == ["arn:aws:s3:::corp/cloudtune/*", "arn:aws:s3:::results/a/*"]
    assert found["Bucket"]["Resource"] == ["arn:aws:s3:::corp", "arn:aws:s3:::results"]


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("docker.io/own:1", None),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:1", "arn:aws:ecr:eu-west-1:123456789012:repository/own"),
        ("pytorch:2.6", "arn:aws:ecr:*:*:repository/*"),
        (None, "arn:aws:ecr:*:*:repository/*"),
    ],
)
def test_images_take_permissions_of_the_registry_that_they_are_in(image: str | None, repository: str | None) -> None:
    found = statements(policies(SageMakerSettings(image=image))["identity"])
    assert found.get("Image", {}).get("Resource") == repository
    assert ("Registry" in found) == (repository is not None)


@pytest.mark.parametrize(("mode", "there", "gone"), [("managed", "HyperParameterTuningJob", "CreateTrainingJob"), ("driven", "CreateTrainingJob", "CreateHyperParameterTuningJob")])  # fmt: skip
def test_a_mode_has_its_own_actions(mode: Any, there: str, gone: str) -> None:
    text = json.dumps(policies(SageMakerSettings(), mode)["caller"])
    assert there in text
    assert gone not in text


def test_they_are_valid_by_the_grammar_of_iam() -> None:
    for settings in (SageMakerSettings(), SageMakerSettings(region="eu-west-1", role=ROLE, bucket="corp")):
        for document in policies(settings).values():
            text = json.dumps(document)
            IAMPolicyDocumentValidator(text).validate()
            assert len(text.replace(" ", "")) < 6144  # characters of a managed policy ("IAM and AWS STS quotas")


# How a policy is read


def allows(statement: dict[str, Any], action: str, resource: str = "*", **context: str) -> bool:
    policy = IamPolicy({"Version": "2012-10-17", "Statement": statement})
    return policy.allows(Ask(action, resource, tuple(context.items())))


def test_actions_have_no_case_and_resources_have_wildcards() -> None:
    own = {"Effect": "Allow", "Action": "S3:get*", "Resource": "arn:aws:s3:::b/a?/*"}
    assert allows(own, "s3:GetObject", "arn:aws:s3:::b/ab/c/d")
    assert not allows(own, "s3:GetObject", "arn:aws:s3:::b/abb/c")
    assert not allows(own, "s3:GetObject", "arn:aws:s3:::b/AB/c".replace("b/A", "B/A"))
    assert not allows(own, "s3:PutObject", "arn:aws:s3:::b/ab/c")


def test_a_deny_counts_before_an_allow() -> None:
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "NotAction": "s3:*", "NotResource": "arn:x"},
    ]
    policy = IamPolicy({"Version": "2012-10-17", "Statement": statements})
    assert policy.allows(Ask("s3:PutObject", "arn:y"))
    assert policy.allows(Ask("iam:GetRole", "arn:x"))
    assert not policy.allows(Ask("iam:GetRole", "arn:y"))


def test_conditions_on_texts() -> None:
    def own(operator: str) -> dict[str, Any]:
        return {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {"s3:prefix": ["a/*", "b"]}}}

    assert allows(own("StringLike"), "s3:ListBucket", **{"s3:prefix": "a/x"})
    assert not allows(own("StringEquals"), "s3:ListBucket", **{"s3:prefix": "a/x"})
    assert allows(own("StringEquals"), "s3:ListBucket", **{"S3:Prefix": "b"})
    assert not allows(own("StringLike"), "s3:ListBucket")
    assert allows(own("StringLikeIfExists"), "s3:ListBucket")
    assert allows(own("StringNotLike"), "s3:ListBucket", **{"s3:prefix": "c"})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "has a Version and a Statement"),
        ({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, "has no Action"),
        ({"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}, "cannot have allow"),
        ({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"DateLess": {}}}]}, "does not know the condition"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(document: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        IamPolicy(document)


def test_an_emulator_refuses_a_policy_of_another_form() -> None:
    with pytest.raises(
        ConfigError, match="must have the keys 'caller', 'identity' and 'strategy'.*it has 'Statement', 'Version'"
    ):
        SageMakerEmulator(policy={"Version": "2012-10-17", "Statement": []})
    with pytest.raises(ConfigError, match="cannot be read: an IAM policy has"):
        SageMakerEmulator(policy={"caller": {}})


# What a request takes


@pytest.mark.parametrize(
    ("method", "place", "query", "headers", "name", "action"),
    [
        ("GET", "service", (), (), "ListBuckets", "s3:ListAllMyBuckets"),
        ("HEAD", "bucket", (), (), "HeadBucket", "s3:ListBucket"),
        ("GET", "bucket", ("list-type", "prefix"), (), "ListObjectsV2", "s3:ListBucket"),
        ("GET", "bucket", ("location",), (), "GetBucketLocation", "s3:GetBucketLocation"),
        ("POST", "bucket", ("delete",), (), "DeleteObjects", "s3:DeleteObject"),
        ("HEAD", "object", (), (), "HeadObject", "s3:GetObject"),
        ("GET", "object", ("tagging",), (), "GetObjectTagging", "s3:GetObjectTagging"),
        ("PUT", "object", ("x-id",), (), "PutObject", "s3:PutObject"),
        ("PUT", "object", ("partNumber", "uploadId"), (), "UploadPart", "s3:PutObject"),
        ("PUT", "object", (), ("x-amz-copy-source",), "CopyObject", "s3:PutObject"),
        ("POST", "object", ("uploads",), (), "CreateMultipartUpload", "s3:PutObject"),
        ("POST", "object", ("uploadId",), (), "CompleteMultipartUpload", "s3:PutObject"),
        ("DELETE", "object", ("uploadId",), (), "AbortMultipartUpload", "s3:AbortMultipartUpload"),
    ],
)
def test_an_operation_of_s3_is_found_by_its_form(
    method: str, place: Any, query: tuple[str, ...], headers: tuple[str, ...], name: str, action: str
) -> None:
    assert operation(method, place, query, headers) == name
    assert actions(name) == (action,)


def asked(service: str, name: str, members: dict[str, Any]) -> list[tuple[str, str]]:
    environ = {"wsgi.input": io.BytesIO(json.dumps(members).encode()), "REQUEST_METHOD": "POST"}
    request = Request(environ, service, name, "eu-west-1", "123456789012")
    return [(ask.action, ask.resource) for ask in asks_of(request, lambda *_: True)]


def test_what_operations_of_sagemaker_take_besides_their_own_action() -> None:
    job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/one"
    made = {"TrainingJobName": "One", "RoleArn": ROLE, "Tags": [{"Key": "a", "Value": "b"}]}
    assert asked("sagemaker", "CreateTrainingJob", made) == [
        ("sagemaker:CreateTrainingJob", job),
        ("iam:PassRole", ROLE),
        ("sagemaker:AddTags", job),
    ]
    tuning = {"HyperParameterTuningJobName": "t", "TrainingJobDefinitions": [{"RoleArn": ROLE}, {"RoleArn": ROLE}]}
    assert asked("sagemaker", "CreateHyperParameterTuningJob", tuning)[1:] == [("iam:PassRole", ROLE)]
    assert asked("sagemaker", "ListTrainingJobs", {}) == [("sagemaker:ListTrainingJobs", "*")]
    assert asked("logs", "GetLogEvents", {"logGroupName": "/g", "logStreamName": "s"}) == [
        ("logs:GetLogEvents", "arn:aws:logs:eu-west-1:123456789012:log-group:/g:log-stream:s")
    ]


# What a denied client gets


@pytest.fixture(scope="module")
def denying() -> Any:
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    with SageMakerEmulator() as emulator:
        boto3.client("s3", **emulator.of_client).put_object(Bucket=emulator.bucket, Key="there", Body=b"1")
        emulator.enforce({"caller": nothing})
        yield emulator


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"].get("Message", "")


def test_a_denied_action_is_answered_as_each_service_does(denying: SageMakerEmulator) -> None:
    def client(name: str) -> Any:
        return boto3.client(name, **denying.of_client)

    status, code, message = refusal(client("sagemaker").describe_training_job, TrainingJobName="x")
    assert (status, code) == (400, "AccessDeniedException")
    assert message == (
        "User: arn:aws:sts::123456789012:user/moto is not authorized to perform: sagemaker:DescribeTrainingJob on "
        "resource: arn:aws:sagemaker:us-east-1:123456789012:training-job/x because no identity-based policy allows the "
        "sagemaker:DescribeTrainingJob action"
    )
    s3, place = client("s3"), {"Bucket": denying.bucket, "Key": "there"}
    status, code, message = refusal(s3.get_object, **place)
    assert (status, code) == (403, "AccessDenied")
    assert f"s3:GetObject on resource: arn:aws:s3:::{denying.bucket}/there" in message
    assert refusal(s3.head_object, **place)[:2] == (403, "403")
    assert refusal(client("iam").get_role, RoleName="r")[:2] == (403, "AccessDenied")
    assert client("sts").get_caller_identity()["Account"] == "123456789012"


def test_without_list_bucket_a_missing_object_is_forbidden_not_missing(denying: SageMakerEmulator) -> None:
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    denying.enforce({"caller": {"Version": "2012-10-17", "Statement": reads}})
    s3 = boto3.client("s3", **denying.of_client)
    assert s3.get_object(Bucket=denying.bucket, Key="there")["Body"].read() == b"1"
    assert refusal(s3.head_object, Bucket=denying.bucket, Key="missing")[0] == 403
    reads["Action"] = ["s3:GetObject", "s3:ListBucket"]  # type: ignore[assignment]
    denying.enforce({"caller": {"Version": "2012-10-17", "Statement": reads}})
    assert refusal(s3.head_object, Bucket=denying.bucket, Key="missing")[0] == 404


def test_programs_of_jobs_have_the_roles_keys(denying: SageMakerEmulator) -> None:
    nothing = {"Version": "2012-10-17", "Statement": []}
    denying.enforce({"identity": nothing})
    own = denying._of_role
    keys = {"aws_access_key_id": own["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": own["AWS_SECRET_ACCESS_KEY"]}
    as_role = boto3.client("s3", **{**denying.of_client, **keys})
    assert "assumed-role/cloudtune-emulator/SageMaker" in refusal(as_role.list_buckets)[2]
    assert boto3.client("s3", **denying.of_client).list_buckets()["Buckets"]


def test_an_address_that_is_signed_in_advance_takes_what_its_signer_may(denying: SageMakerEmulator) -> None:
    s3 = boto3.client("s3", **denying.of_client)
    address = s3.generate_presigned_url("get_object", Params={"Bucket": denying.bucket, "Key": "there"})
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{denying.bucket}/*"}
    denying.enforce({"caller": {"Version": "2012-10-17", "Statement": reads}})
    assert urllib.request.urlopen(address).read() == b"1"
    reads["Resource"] = "arn:aws:s3:::other/*"
    denying.enforce({"caller": {"Version": "2012-10-17", "Statement": reads}})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address)
    assert refused.value.code == 403
    assert b"s3:GetObject on resource" in refused.value.read()


def test_places_of_the_config_in_other_buckets_are_read_alone() -> None:
    inputs = ["s3://data/train", "s3://all", "s3://corp/cloudtune/own", "s3://corp/raw"]
    found = statements(policies(SageMakerSettings(bucket="corp"), None, inputs)["identity"])
    assert found["InputObjects"]["Action"] == ["s3:GetObject"]
    assert found["InputObjects"]["Resource"] == [
        "arn:aws:s3:::data/train",
        "arn:aws:s3:::data/train/*",
        "arn:aws:s3:::all/*",
        "arn:aws:s3:::corp/raw",
        "arn:aws:s3:::corp/raw/*",
    ]
    assert found["InputBucket"]["Action"] == ["s3:ListBucket"]
    assert found["InputBucket"]["Resource"] == ["arn:aws:s3:::data", "arn:aws:s3:::all"]
    assert "InputObjects" not in statements(policies(SageMakerSettings(bucket="corp"))["identity"])
