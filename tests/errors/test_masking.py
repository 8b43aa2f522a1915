"""Secrets do not come out of errors, events, reasons and plans, whoever quotes them."""

import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from cloudtune.cli.app import _explain
from cloudtune.errors import CredentialError, Problem, ProviderError, SpecError, StoreError, masking
from cloudtune.errors.masking import masked_data, masked_text
from cloudtune.provider.interface import Finding
from cloudtune.store.records import RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import Store

QUOTED = [
    "no cluster answers at ray://me:S3CRETS3CRET@head:10001",
    "proxy http://me:S3CRETS3CRET@proxy.example.com:3128/ refused",
    "GET https://a.blob.core.windows.net/c/x?sv=2024&sp=r&sig=S3CRETS3CRET%2B&se=1 answered 403",
    "https://b.s3.amazonaws.com/x?X-Amz-Algorithm=A&X-Amz-Signature=S3CRETS3CRET&X-Amz-Date=1",
    "https://storage.googleapis.com/b/x?X-Goog-Signature=S3CRETS3CRET",
    "headers: {'Authorization': 'Bearer S3CRETS3CRETS3CRET', 'Host': 'x'}",
    "Authorization: AWS4-HMAC-SHA256 Credential=S3CRETS3CRET/x, Signature=S3CRETS3CRET",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=S3CRETS3CRET==;EndpointSuffix=x",
    '{"client_secret": "S3CRETS3CRET", "grant_type": "x"}',
    "{'password': 'S3CRETS3CRET'}",
    "aws_secret_access_key=S3CRETS3CRET was refused",
    "-----BEGIN RSA PRIVATE KEY-----\nS3CRETS3CRET\n-----END RSA PRIVATE KEY-----",
    "the token ghp_S3CRETS3CRETS3CRETS3CRETS3CRETS3CRETS3CRET has expired",
    "postgresql://u:S3CRETS3CRET@host/db",
]


@pytest.mark.parametrize("text", QUOTED)
def test_a_quoted_secret_is_masked_in_errors_findings_and_the_store(tmp_path: Path, text: str) -> None:
    assert "S3CRET" not in masked_text(text)
    for error in (ProviderError(text), CredentialError(text), StoreError(text), SpecError([Problem("data.x", text)])):
        assert "S3CRET" not in f"{error} {error!r} {error.args}"
    assert "S3CRET" not in Finding("cluster", ok=False, message=text).message
    store = Store(tmp_path)
    run = store.create(RunRecord(id="r", name="r", provider="local", profile="local", job="{}", plan="{}", created=time.time(), native={}))  # fmt: skip
    trial = Trial(number=0, parameters={}, state=TrialState.FAILED, reason=text)
    run.write(trials=[trial], events=[(0, text)], columns={"state": RunState.FAILED.value, "reason": text})
    store.close()
    assert b"S3CRET" not in b"".join(
        path.read_bytes() for path in (tmp_path / ".cloudtune").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    "text",
    [
        "the security token: expired at 12:00", "trial.environment: has 49 values, and SageMaker takes 48", "ssh://git@host/x.git",
        "s3://bucket/prefix/key", "no key 'lr' in space", "password is missing", "learning_rate=0.001 tokens=512 loss=0.25",
        "https://example.com/page?name=value", "2024-01-01T00:00:00", "secrets/ (usually holds secrets)",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert masked_text(text) == text


def test_values_of_the_environment_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())
    masking.remember(["correct horse", "3", "12345678901", "short"])
    assert str(ProviderError("Value 'correct horse' at 'environment' is short, 3 of 12345678901")) == (
        "Value '***' at 'environment' is short, 3 of 12345678901"
    )


@pytest.mark.parametrize("secret", ['a"quoted" pass\\word', "key of\ntwo lines", "tôken/with+signs"])
def test_values_of_the_environment_are_known_however_an_error_quotes_them(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "_known", set())
    masking.remember([f"{secret}\n"])
    for quoted in (
        secret,
        repr(secret),
        json.dumps(secret),
        repr(f"{secret}\n"),
        quote(secret),
        quote(secret, safe=""),
    ):
        assert masked_text(f"refused: {quoted}!").replace("\\n", "").strip("'\"") in {
            f"refused: {quote_sign}***{quote_sign}!" for quote_sign in ("", "'", '"')
        }


def test_an_unexpected_error_and_its_traceback_are_masked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_DEBUG", "1")
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError(QUOTED[0])
    try:
        raise raised.value
    except RuntimeError as error:
        _explain(error)
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "S3CRET" not in shown.replace("QUOTED", "")


def test_masking_takes_little_time_and_keeps_the_shape_of_data() -> None:
    began = time.process_time()
    for text in (
        "://" + "a" * 100_000,
        "password=" * 20_000,
        "-----BEGIN PRIVATE KEY-----" * 5_000,
        "=" * 100_000,
        "a." * 50_000 + "token",
    ):
        masked_text(text)
    assert time.process_time() - began < 10
    data = {"a": [1, None, "x?sig=S3CRETS3CRET"], "b": ("ray://u:S3CRET@h",)}
    assert json.dumps(masked_data(data)) == '{"a": [1, null, "x?sig=***"], "b": ["ray://u:***@h"]}'
