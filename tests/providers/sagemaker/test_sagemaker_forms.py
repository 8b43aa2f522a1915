"""Forms by which browsers upload to SageMaker's emulator: what their policies allow, and nothing else."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import pytest
import requests
from emulator_requests import address
from late import LATE
from sagemaker_emulation import Used

if LATE:
    pytest.importorskip("moto")
    import boto3
    from botocore.config import Config


def posted(
    form: Mapping[str, Any], content: bytes = b"content", name: str = "file.txt", **more: Any
) -> requests.Response:
    return requests.post(
        form["url"], data=form["fields"], files={"file": (name, content)}, allow_redirects=False, **more
    )


VERSIONS = pytest.mark.parametrize("version", [None, "s3v4", "s3"])


def signing(emulator: Any, version: str | None) -> Any:
    config = {} if version is None else {"config": Config(signature_version=version)}
    return boto3.client("s3", **emulator.of_client, **config)


@VERSIONS
def test_a_form_uploads_what_its_policy_allows(shared: Used, version: str | None) -> None:
    emulator = shared.emulator
    s3 = signing(emulator, version)
    fields = {
        "acl": "private",
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "x-amz-meta-owner": "größe",
        "x-amz-storage-class": "STANDARD_IA",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b&#43;c</Value></Tag></TagSet></Tagging>",
        "success_action_status": "201",
    }
    conditions = [
        {name: value} for name, value in fields.items() if name not in ("Content-Type", "success_action_status")
    ]
    conditions += [
        ["starts-with", "$Content-Type", "text/"],
        ["eq", "$success_action_status", "201"],
        ["content-length-range", 7, 7],
    ]
    key = "größe & mehr/%41+x~/${filename}"
    form = s3.generate_presigned_post(emulator.bucket, key, dict(fields), conditions)
    answer = posted(form)
    assert answer.status_code == 201, answer.text
    place = {"Bucket": emulator.bucket, "Key": key.replace("${filename}", "file.txt")}
    told = s3.get_object(**place)
    assert told["Body"].read() == b"content"
    assert (told["ContentType"], told["CacheControl"], told["StorageClass"]) == (
        "text/plain",
        "no-store",
        "STANDARD_IA",
    )
    assert told["Metadata"]["owner"].encode("latin-1").decode() == "größe"
    assert s3.get_object_tagging(**place)["TagSet"] == [{"Key": "a", "Value": "b+c"}]
    said = ET.fromstring(answer.text)
    assert (said.findtext("Bucket"), said.findtext("Key"), said.findtext("ETag")) == (
        place["Bucket"],
        place["Key"],
        told["ETag"],
    )


def test_a_form_of_a_large_file_goes_to_the_disk(shared: Used) -> None:
    from cloudtune_sagemaker.emulator.objects import Stored

    emulator = shared.emulator
    s3 = signing(emulator, None)
    content = os.urandom(9 * 1024**2) + b"\r\n--"
    assert posted(s3.generate_presigned_post(emulator.bucket, "large"), content).status_code == 204
    assert s3.get_object(Bucket=emulator.bucket, Key="large")["Body"].read() == content
    from moto.backends import get_backend

    key = get_backend("s3")[emulator.account]["aws"].get_object(emulator.bucket, "large")
    assert isinstance(key._value_buffer, Stored)


def test_a_form_is_answered_as_it_asks(shared: Used) -> None:
    emulator = shared.emulator
    s3 = signing(emulator, None)
    there = {"success_action_redirect": "https://example.org/done?x=1"}
    answer = posted(s3.generate_presigned_post(emulator.bucket, "a b", dict(there), [there]))
    etag = s3.head_object(Bucket=emulator.bucket, Key="a b")["ETag"]
    assert (answer.status_code, parse_qsl(urlsplit(answer.headers["Location"]).query)) == (
        303, [("x", "1"), ("bucket", emulator.bucket), ("key", "a b"), ("etag", etag)],
    )  # fmt: skip
    for wanted, status in (("200", 200), ("204", 204), ("500", 204)):
        said = {"success_action_status": wanted}
        answer = posted(s3.generate_presigned_post(emulator.bucket, "a b", dict(said), [said]))
        assert (answer.status_code, answer.headers["ETag"]) == (status, etag)
    assert "NoSuchBucket" in posted(s3.generate_presigned_post("no-such-bucket", "x")).text


def _resigned(emulator: Any, form: dict[str, Any], policy: Any) -> dict[str, Any]:
    """A form with another policy, under the signature that it had."""
    text = policy if isinstance(policy, str) else json.dumps(policy)
    return {**form, "fields": {**form["fields"], "policy": base64.b64encode(text.encode()).decode()}}


def _policy_of(form: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(form["fields"]["policy"]))
    return found


FORGED: Mapping[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "a policy of one's own": lambda emulator, form: _resigned(emulator, form, {**_policy_of(form), "expiration": "2100-01-01T00:00:00Z"}),
    "no policy": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if name != "policy"}},
    "an empty policy": lambda emulator, form: {**form, "fields": {**form["fields"], "policy": ""}},
    "no signature": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if "signature" not in name}},
    "another signature": lambda emulator, form: {**form, "fields": {name: "00" if "signature" in name else value for name, value in form["fields"].items()}},
    "an empty signature": lambda emulator, form: {**form, "fields": {name: "" if "signature" in name else value for name, value in form["fields"].items()}},
    "unknown keys": lambda emulator, form: {**form, "fields": {name: value.replace(emulator._key_id, "AKIAIOSFODNN7EXAMPLE") for name, value in form["fields"].items()}},
    "no keys": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if name.lower() not in ("awsaccesskeyid", "x-amz-credential")}},
    "a token": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-security-token": "x"}},
    "another key": lambda emulator, form: {**form, "fields": {**form["fields"], "key": "other"}},
    "another bucket": lambda emulator, form: {**form, "url": f"{address(emulator)}/other-bucket"},
    "a field more": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-meta-more": "x"}},
    "public": lambda emulator, form: {**form, "fields": {**form["fields"], "acl": "public-read"}},
    "a copy": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-copy-source": f"{emulator.bucket}/secret"}},
    "a field less": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if name != "x-amz-meta-must"}},
    "another value": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-meta-must": "other"}},
    "another beginning": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-meta-begins": "other"}},
    "another day": lambda emulator, form: {**form, "fields": {name: re.sub("/[0-9]{8}/", "/20200101/", value) for name, value in form["fields"].items()}, "v4": True},
    "another service": lambda emulator, form: {**form, "fields": {name: value.replace("/s3/", "/sts/") for name, value in form["fields"].items()}, "v4": True},
}  # fmt: skip


@VERSIONS
@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_form_that_is_forged_does_nothing(
    shared: Used, change: Callable[[Any, dict[str, Any]], dict[str, Any]], version: str | None
) -> None:
    emulator = shared.emulator
    s3 = signing(emulator, version)
    fields = {"x-amz-meta-must": "1", "x-amz-meta-begins": "one two"}
    conditions = [{"x-amz-meta-must": "1"}, ["starts-with", "$x-amz-meta-begins", "one"]]
    s3.create_bucket(Bucket="other-bucket")
    form = s3.generate_presigned_post(emulator.bucket, "forged", dict(fields), conditions)
    altered = change(emulator, form)
    if altered.get("v4") and altered["fields"] == form["fields"]:
        pytest.skip("version 2 signs neither a day nor a service")
    answer = posted(altered)
    assert answer.status_code == 403, answer.text
    assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket, Prefix="forged")
    assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket, Prefix="other")
    assert "Contents" not in s3.list_objects_v2(Bucket="other-bucket")
    assert posted(form).status_code == 204, "nothing but the change is wrong"
    s3.delete_object(Bucket=emulator.bucket, Key="forged")


@VERSIONS
def test_a_form_holds_for_its_time_and_its_sizes(shared: Used, version: str | None) -> None:
    emulator = shared.emulator
    s3 = signing(emulator, version)
    old = posted(s3.generate_presigned_post(emulator.bucket, "limits", ExpiresIn=-1))
    assert (old.status_code, "Policy expired" in old.text) == (403, True)
    s3.delete_object(Bucket=emulator.bucket, Key="limits")
    form = s3.generate_presigned_post(emulator.bucket, "limits", Conditions=[["content-length-range", 2, 3]])
    for content, status, code in ((b"1", 400, "EntityTooSmall"), (b"1234", 413, "EntityTooLarge")):
        answer = posted(form, content)
        assert (answer.status_code, code in answer.text) == (status, True)
    assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket, Prefix="limits")
    assert posted(form, b"123").status_code == 204


def test_what_a_form_comes_with_says_nothing_of_its_object(shared: Used) -> None:
    emulator = shared.emulator
    s3 = signing(emulator, None)
    s3.put_object(Bucket=emulator.bucket, Key="secret", Body=b"secret")
    form = s3.generate_presigned_post(emulator.bucket, "headers")
    headers = {"x-amz-copy-source": f"{emulator.bucket}/secret", "x-amz-acl": "public-read", "x-amz-meta-more": "x"}
    assert posted(form, headers=headers).status_code == 204
    told = s3.get_object(Bucket=emulator.bucket, Key="headers")
    assert (told["Body"].read(), told["Metadata"]) == (b"content", {})
    for query in ("?acl", "?uploadId=1&partNumber=1", "?delete"):
        assert posted({**form, "url": form["url"] + query}).status_code == 403
    assert posted(form, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("policy", ["no JSON", "[]", "{}", '{"expiration": "2100-01-01T00:00:00Z"}', '{"expiration": "soon", "conditions": []}',
    '{"expiration": "2100-01-01T00:00:00Z", "conditions": [["contains", "$key", ""]]}', '{"expiration": "2100-01-01T00:00:00Z", "conditions": []}'])  # fmt: skip
def test_a_policy_that_cannot_be_read_allows_nothing(shared: Used, policy: str) -> None:
    from botocore.auth import HmacV1Auth
    from botocore.credentials import Credentials

    emulator = shared.emulator
    encoded = base64.b64encode(policy.encode()).decode()
    keys = Credentials(emulator._key_id, emulator._secret)
    fields = {"key": "unread", "AWSAccessKeyId": keys.access_key, "policy": encoded}
    fields["signature"] = HmacV1Auth(keys).sign_string(encoded)
    assert posted({"url": f"{address(emulator)}/{emulator.bucket}", "fields": fields}).status_code == 403


BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "no form": b"something else",
    "an end alone": b"--b--\r\n",
    "no file": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n--b--\r\n',
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    "no head": b"--b\r\n\r\nx\r\n--b--\r\n",
    "twice": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
    "no text": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\r\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
    "a long field": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n' + b"x" * 30_000 + b"\r\n--b--\r\n",
    "a long head": b"--b\r\nContent-Disposition: " + b"x" * 100_000,
    "many fields": b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n' % number for number in range(200)) + b"--b--\r\n",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_form_that_is_none_is_refused(shared: Used, body: bytes) -> None:
    emulator = shared.emulator
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = requests.post(f"{address(emulator)}/{emulator.bucket}", data=body, headers=headers)
    assert answer.status_code in (400, 403, 413), answer.text
    assert answer.headers["Content-Type"] == "text/xml"
