"""Messages are sent by each way to a real server or program, in bounded time, and say why they could not be."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from told import Webhook, mail_server, webhook

from cloudtune.errors import masking
from cloudtune.notifying import outbox, sending
from cloudtune.notifying.message import Message
from cloudtune.notifying.sending import NotSent, send
from cloudtune.spec.notify import Notification

MESSAGE = Message(
    "end", "cloudtune: a-1 is completed", "cloudtune: a-1 is completed\nbest <x> & y", {"version": 1, "event": "end"}
)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as served:
        monkeypatch.setenv("HOOK", served.url)
        yield served


@pytest.fixture(autouse=True)
def _forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())


def channel(**said: Any) -> Notification:
    return Notification.model_validate(said)


def test_a_webhook_gets_the_message_as_json_with_its_headers(
    hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t0p-secret-token")
    send(channel(webhook="${HOOK}", headers={"Authorization": "Bearer ${TOKEN}"}), MESSAGE, tmp_path)
    ((_, headers, body),) = hook.requests
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer t0p-secret-token", "application/json")
    assert json.loads(body) == MESSAGE.data
    assert masking.masked_text(f"POST {hook.url}: t0p-secret-token") == "POST ***: ***"


def test_slack_gets_a_text_in_which_its_own_signs_are_escaped(hook: Webhook, tmp_path: Path) -> None:
    send(channel(slack="${HOOK}"), MESSAGE, tmp_path)
    assert hook.messages == [{"text": "cloudtune: a-1 is completed\nbest &lt;x&gt; &amp; y"}]


def test_slacks_address_is_never_used_unencrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "http://hooks.slack.example/services/T/B/X")
    with pytest.raises(NotSent, match="begins with https"):
        send(channel(slack="${HOOK}"), MESSAGE, tmp_path)


def test_a_redirect_is_not_followed(hook: Webhook, tmp_path: Path) -> None:
    hook.status, hook.location = 302, f"{hook.url}/elsewhere"
    with pytest.raises(NotSent, match="answered 302 .*redirects are not followed"):
        send(channel(webhook="${HOOK}"), MESSAGE, tmp_path)
    assert len(hook.requests) == 1


def test_a_refusal_is_told_in_a_line_of_bounded_length(hook: Webhook, tmp_path: Path) -> None:
    hook.status, hook.answer = 500, b"no\nservice " * 100_000
    with pytest.raises(NotSent, match="answered 500 Internal Server Error: no service no service") as caught:
        send(channel(webhook="${HOOK}"), MESSAGE, tmp_path)
    assert len(str(caught.value)) < 300


def test_what_cannot_be_reached_is_told_without_its_address(
    hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/tokenOfIts0wnAndLong")
    with pytest.raises(NotSent, match="cannot be reached") as caught:
        send(channel(webhook="${HOOK}"), MESSAGE, tmp_path)
    assert "tokenOfIts0wn" not in str(caught.value)


def test_a_variable_that_is_not_set_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    with pytest.raises(NotSent, match="environment variable HOOK is not set"):
        send(channel(slack="${HOOK}"), MESSAGE, tmp_path)


@pytest.mark.parametrize(
    "value", ["https://hooks.example/services/T0/B0/s3cretPart\n", "https://hooks.example/s3cretPart\r"]
)
def test_a_variable_with_a_line_break_is_told_by_its_name_and_not_quoted(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", value)
    monkeypatch.setenv("URL", "http://127.0.0.1:1/x")
    for said in (channel(slack="${HOOK}"), channel(webhook="${URL}", headers={"Authorization": "Bearer ${HOOK}"})):
        with pytest.raises(NotSent, match="the environment variable HOOK holds a line break") as caught:
            send(said, MESSAGE, tmp_path)
        assert "s3cretPart" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["https://u:s3cretPart@[::1", "https://u:s3cretPart/x@hooks.example/y", "https://h.example/s3cretPart é"]
)
def test_an_address_that_is_none_is_not_quoted(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", value)
    outcome = outbox.outcome_of(channel(webhook="${HOOK}"), MESSAGE, tmp_path)
    assert "the address, or what is sent to it, is no valid one" in outcome
    assert "s3cret" not in outcome


def test_an_address_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "file:///etc/passwd")
    with pytest.raises(NotSent, match="does not begin with https"):
        send(channel(webhook="${HOOK}"), MESSAGE, tmp_path)


def test_a_server_that_answers_byte_by_byte_is_given_up(
    hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LIMIT", 0.3)
    hook.drip = True
    began = time.monotonic()
    assert outbox.outcome_of(channel(webhook="${HOOK}"), MESSAGE, tmp_path) == "it did not answer within 0.3 s"
    assert time.monotonic() - began < 5


def test_a_mail_goes_out_encrypted_with_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "mail-password-1")
    with mail_server(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        said = {
            "to": ["me@example.com", "you@example.com"],
            "server": server.address,
            "user": "robot@example.com",
            "password": "${MAIL_PASSWORD}",
        }
        send(channel(email=said), MESSAGE, tmp_path)
    ((mail, encrypted, login),) = server.mails
    assert encrypted
    assert login
    assert (mail["Subject"], mail["From"]) == (MESSAGE.title, "robot@example.com")
    assert mail["To"] == "me@example.com, you@example.com"
    assert mail.get_content().splitlines() == MESSAGE.text.splitlines()


def test_a_mail_server_with_a_strange_certificate_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with mail_server(tmp_path) as server, pytest.raises(NotSent, match=r"(?i)certificate"):
        send(channel(email={"to": "me@example.com", "server": server.address}), MESSAGE, tmp_path)
    assert server.mails == []


def test_a_mail_server_elsewhere_that_does_not_encrypt_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "is_local", lambda _: False)
    with mail_server(tmp_path, encrypts=False) as server, pytest.raises(NotSent, match="offers no encryption"):
        send(channel(email={"to": "me@example.com", "server": server.address}), MESSAGE, tmp_path)
    assert server.mails == []


def test_one_on_this_machine_needs_no_encryption(tmp_path: Path) -> None:
    with mail_server(tmp_path, encrypts=False) as server:
        send(channel(email={"to": "me@example.com", "server": server.address}), MESSAGE, tmp_path)
    assert len(server.mails) == 1


def test_a_command_gets_the_message_on_stdin_in_the_projects_folder(tmp_path: Path) -> None:
    send(channel(command="cat > told.json"), MESSAGE, tmp_path)
    assert json.loads((tmp_path / "told.json").read_text()) == MESSAGE.data


def test_a_command_that_fails_tells_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(NotSent, match="exit code 3: no such channel"):
        send(channel(command=["sh", "-c", "echo first >&2; echo no such channel >&2; exit 3"]), MESSAGE, tmp_path)


def test_a_command_that_does_not_end_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LIMIT", 1.3)
    with pytest.raises(NotSent, match="did not end within 0.3 s"):
        send(channel(command="echo $$ > pid; sleep 600 | cat"), MESSAGE, tmp_path)
    group = int((tmp_path / "pid").read_text())
    import psutil

    members = [process for process in psutil.process_iter() if _group(process.pid) == group]
    _, alive = psutil.wait_procs(
        members, timeout=30
    )  # they were killed, and are no children of ours: their end takes a moment
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def _group(pid: int) -> int:
    import os

    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1
