"""What SageMaker's emulator lets in: signed requests and addresses, and keys that hold for a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from emulator_requests import address, right
from late import LATE
from sagemaker_emulation import Used

if LATE:
    pytest.importorskip("moto")
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError


def test_each_part_of_a_signed_request_counts(shared: Used) -> None:
    emulator = shared.emulator
    made = requests.Request("PUT", f"{address(emulator)}/{emulator.bucket}/signed?x=1", data=b"content").prepare()
    changes: Mapping[str, Callable[[Any], Any]] = {
        "method": lambda request: setattr(request, "method", "POST"),
        "path": lambda request: setattr(request, "url", request.url.replace("signed", "another")),
        "query": lambda request: setattr(request, "url", request.url.replace("x=1", "x=2")),
        "more query": lambda request: setattr(request, "url", f"{request.url}&acl"),
        "body": lambda request: setattr(request, "body", b"CONTENT"),
        "hash": lambda request: request.headers.update({"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}),
        "date": lambda request: request.headers.update({"X-Amz-Date": "20200101T000000Z"}),
        "token": lambda request: request.headers.update({"X-Amz-Security-Token": "x"}),
        "fewer headers": lambda request: request.headers.update(
            Authorization=request.headers["Authorization"].replace("host;", "")
        ),
    }
    for name, change in changes.items():
        altered = right(emulator)(made.copy())
        change(altered)
        assert requests.Session().send(altered).status_code == 403, name
    assert requests.Session().send(right(emulator)(made.copy())).status_code == 200


@pytest.mark.parametrize("version", [None, "s3v4", "s3"])
def test_addresses_that_were_signed_in_advance_hold_for_what_they_say(shared: Used, version: str | None) -> None:
    emulator = shared.emulator
    config = {} if version is None else {"config": Config(signature_version=version)}
    s3 = boto3.client("s3", **emulator.of_client, **config)
    key = "größe & mehr %41/+x~.txt"
    place = {"Bucket": emulator.bucket, "Key": key}
    put = s3.generate_presigned_url("put_object", Params=place)
    assert requests.put(put, data=b"content").status_code == 200
    assert s3.get_object(**place)["Body"].read() == b"content"
    get = s3.generate_presigned_url("get_object", Params=place)
    assert requests.get(get).content == b"content"
    assert requests.put(get, data=b"other").status_code == 403
    assert requests.get(get.replace(".txt", ".tx")).status_code == 403
    assert requests.get(s3.generate_presigned_url("get_object", Params=place, ExpiresIn=-1)).status_code in (400, 403)


def test_s3_is_called_by_a_buckets_name(shared: Used) -> None:
    emulator = shared.emulator
    boto3.client("s3", **emulator.of_client).put_object(Bucket=emulator.bucket, Key="virtual", Body=b"yes")
    port = urlsplit(address(emulator)).port
    for host in (f"{emulator.bucket}.localhost:{port}", f"{emulator.bucket}.s3.amazonaws.com"):
        made = requests.Request("GET", f"http://{host}/virtual", headers={"Host": host}).prepare()
        signed = right(emulator)(made)
        signed.url = f"{address(emulator)}/virtual"
        assert requests.Session().send(signed).content == b"yes", host


THERE = ("endpoint_url", "region_name")


def client_of(emulator: Any, service: str, given: Mapping[str, Any], **config: Any) -> Any:
    """A client with keys that STS gave; their token is left out where it is None."""
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    return boto3.client(service, **{name: emulator.of_client[name] for name in THERE}, **keys, **config)


SESSIONS: Mapping[str, Callable[[Any, Any, int], Any]] = {
    "GetSessionToken": lambda sts, _, seconds: sts.get_session_token(DurationSeconds=seconds),
    "GetFederationToken": lambda sts, _, seconds: sts.get_federation_token(Name="somebody", DurationSeconds=seconds),
    "AssumeRole": lambda sts, role, seconds: sts.assume_role(RoleArn=role, RoleSessionName="session", DurationSeconds=seconds),
    "AssumeRole of another account": lambda sts, role, seconds: sts.assume_role(
        RoleArn=role.replace("123456789012", "999999999999"), RoleSessionName="session", DurationSeconds=seconds
    ),
}  # fmt: skip


@pytest.mark.parametrize("operation", SESSIONS)
def test_keys_for_a_time_open_what_keys_open(shared: Used, operation: str) -> None:
    emulator = shared.emulator
    before = time.time()
    given = SESSIONS[operation](boto3.client("sts", **emulator.of_client), emulator.role, 900)["Credentials"]
    assert before + 899 <= given["Expiration"].timestamp() <= time.time() + 901
    place = {"Bucket": emulator.bucket, "Key": "session"}
    for version in (None, "s3v4", "s3"):
        s3 = client_of(
            emulator, "s3", given, **({} if version is None else {"config": Config(signature_version=version)})
        )
        s3.put_object(**place, Body=b"content")
        assert requests.get(s3.generate_presigned_url("get_object", Params=place)).content == b"content"
        form = s3.generate_presigned_post(**place)
        assert requests.post(form["url"], data=form["fields"], files={"file": b"posted"}).status_code == 204
    client_of(emulator, "sagemaker", given).list_training_jobs()
    other = SESSIONS[operation](boto3.client("sts", **emulator.of_client), emulator.role, 900)["Credentials"]
    altered = {
        "no token": {"SessionToken": None},
        "another token": {"SessionToken": "another"},
        "a token of another session": {"SessionToken": other["SessionToken"]},
        "another secret": {"SecretAccessKey": other["SecretAccessKey"]},
    }
    for name, change in altered.items():
        wrong = {**given, **change}
        for service, call in (
            ("sts", "get_caller_identity"),
            ("sagemaker", "list_training_jobs"),
            ("s3", "list_buckets"),
        ):
            with pytest.raises(ClientError) as error:
                getattr(client_of(emulator, service, wrong), call)()
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, name
        form = client_of(emulator, "s3", wrong).generate_presigned_post(**place)
        assert requests.post(form["url"], data=form["fields"], files={"file": b"x"}).status_code == 403, name


@pytest.mark.parametrize("operation", SESSIONS)
def test_keys_for_a_time_open_nothing_afterwards(shared: Used, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = shared.emulator
    given = SESSIONS[operation](boto3.client("sts", **emulator.of_client), emulator.role, 900)["Credentials"]
    at = given["Expiration"].timestamp()
    known = emulator._key(given["AccessKeyId"])
    assert (known.refusal(given["SessionToken"], at - 1), known.until) == (None, pytest.approx(at, abs=1))
    s3 = client_of(emulator, "s3", given)
    place = {"Bucket": emulator.bucket, "Key": "session"}
    form = s3.generate_presigned_post(**place, ExpiresIn=3600)
    monkeypatch.setattr(emulator._server._signatures, "_now", lambda: at + 1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(at + 1, UTC))
    for service, call in (("sts", "get_caller_identity"), ("sagemaker", "list_training_jobs"), ("s3", "list_buckets")):
        with pytest.raises(ClientError, match="ExpiredToken"):
            getattr(client_of(emulator, service, given), call)()
    url = s3.generate_presigned_url("get_object", Params=place, ExpiresIn=3600)
    for answer in (requests.get(url), requests.post(form["url"], data=form["fields"], files={"file": b"x"})):
        assert (answer.status_code, "ExpiredToken" in answer.text) == (403, True)


def test_sessions_are_of_somebody_and_do_not_prolong_themselves(shared: Used) -> None:
    emulator = shared.emulator
    iam = boto3.client("iam", **emulator.of_client)
    iam.create_user(UserName="owner")
    made = iam.create_access_key(UserName="owner")["AccessKey"]
    owner = client_of(emulator, "sts", {**made, "SessionToken": None})
    session = client_of(emulator, "sts", owner.get_session_token()["Credentials"])
    assert session.get_caller_identity()["Arn"].endswith(":user/owner")
    for call in (session.get_session_token, partial(session.get_federation_token, Name="somebody")):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    role = owner.assume_role(RoleArn=emulator.role, RoleSessionName="session")["Credentials"]
    known = client_of(emulator, "sts", role)
    assert known.get_caller_identity()["Arn"].endswith("assumed-role/cloudtune-emulator/session")
    with pytest.raises(ClientError, match="AccessDenied"):
        known.get_session_token()
    with pytest.raises(ClientError, match="MaxSessionDuration"):
        owner.assume_role(RoleArn=emulator.role, RoleSessionName="session", DurationSeconds=3601)
    with pytest.raises(ClientError, match="less than or equal to 129600"):
        owner.get_session_token(DurationSeconds=129_601)
    with pytest.raises(ClientError, match="invalid"):
        owner.assume_role(RoleArn="arn:aws:iam::nobody:role/x", RoleSessionName="session")
    iam.update_access_key(UserName="owner", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError, match="InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId"):
        owner.get_caller_identity()


def test_the_keys_of_motos_own_sessions_open_nothing(shared: Used) -> None:
    """They are the same everywhere: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html."""
    example = {
        "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY",
        "SessionToken": None,
    }
    with pytest.raises(ClientError):
        client_of(shared.emulator, "sts", example).get_caller_identity()
