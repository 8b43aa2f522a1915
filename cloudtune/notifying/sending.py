"""Send a message by a channel. Each way ends by itself or is given up by its caller; nothing is tried twice."""

import os
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.utils import parseaddr
from http.client import BadStatusLine, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloudtune.errors import CloudtuneError
from cloudtune.errors.masking import remember
from cloudtune.notifying.message import Message
from cloudtune.plugins.version import __version__
from cloudtune.spec.notify import REFERENCE, Email, Notification, is_local

LIMIT = 10.0
"""Seconds that a message may take."""

_READ = 2000
"""The most bytes that are read of an answer, or of what a command printed."""

_TLS_FROM_THE_START = 465
_SUBMISSION = 587


class NotSent(CloudtuneError):
    """A message could not be sent; says why, without secrets."""


def send(channel: Notification, message: Message, folder: Path) -> None:
    """Send a message; return when it was taken.

    Args:
        channel: where it goes; what its references name is looked up now.
        message: the message.
        folder: that a command runs in: the project's.

    Raises:
        NotSent: it was not taken, or a variable is not set.
    """
    ways: Mapping[str, Callable[[Notification, Message, Path], None]] = {
        "webhook": _webhook,
        "slack": _slack,
        "email": _email,
        "command": _command,
    }
    try:
        ways[channel.kind](channel, message, folder)
    except OSError as error:  # unreachable
        raise NotSent(f"{type(error).__name__}: {error}") from None
    except (ValueError, HTTPException) as error:  # quoted would be a part of an address or a header, which are secrets
        what = "answered what is no HTTP" if isinstance(error, BadStatusLine | IncompleteRead) else "is no valid one"
        raise NotSent(f"the address, or what is sent to it, {what} ({type(error).__name__})") from None


def resolved(text: str) -> str:
    """Return a text with the values of the variables that it refers to, which are masked in all texts from now on.

    Raises:
        NotSent: a variable is not set, or holds a line break or another control character, which no address, header or
            password has.
    """
    for name in REFERENCE.findall(text):
        value = os.environ.get(name)
        if not value:
            raise NotSent(f"the environment variable {name} is not set here")
        if not value.isprintable():
            raise NotSent(
                f"the environment variable {name} holds a line break or another control character; set it without"
            )
    found = REFERENCE.sub(lambda match: os.environ[match[1]], text)
    if found != text:
        remember([found, *(os.environ[name] for name in REFERENCE.findall(text))])
    return found


# Webhooks


def _webhook(channel: Notification, message: Message, _folder: Path) -> None:
    assert channel.webhook is not None
    headers = {name: resolved(value) for name, value in channel.headers.items()}
    _post(resolved(channel.webhook), message.json, headers)


def _slack(channel: Notification, message: Message, _folder: Path) -> None:
    """Post a text as Slack's incoming webhooks take it (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""
    import json  # noqa: PLC0415

    assert channel.slack is not None
    address = resolved(channel.slack)
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_local(parts.hostname or ""):
        raise NotSent("the address of Slack's webhook begins with https://")
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    _post(address, json.dumps({"text": text}).encode(), {})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for a refusal: a message with secrets in its headers goes where it was told to, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(address: str, body: bytes, headers: Mapping[str, str]) -> None:
    if urlsplit(address).scheme not in ("http", "https"):
        raise NotSent("the address does not begin with https:// or http://")
    request = urllib.request.Request(address, data=body, method="POST")  # noqa: S310  # the scheme was checked
    own = {"Content-Type": "application/json", "User-Agent": f"cloudtune/{__version__}"}
    for name, value in {**own, **headers}.items():
        request.add_header(name, value)
    try:
        with urllib.request.build_opener(_NoRedirect()).open(request, timeout=LIMIT) as answer:
            answer.read(_READ)
    except urllib.error.HTTPError as error:
        with error:
            said = " ".join(error.read(_READ).decode("utf-8", "replace").split())[:200]
        where = "; redirects are not followed, write the address that it leads to" if 300 <= error.code < 400 else ""
        raise NotSent(f"it answered {error.code} {error.reason}{f': {said}' if said else ''}{where}") from None
    except urllib.error.URLError as error:
        raise NotSent(f"it cannot be reached: {error.reason}") from None


# E-mail


def _email(channel: Notification, message: Message, _folder: Path) -> None:
    import smtplib  # noqa: PLC0415  # few send e-mail

    said = channel.email
    assert said is not None
    host, port = _server(resolved(said.server))
    try:
        with _connected(smtplib, host, port) as server:
            if said.user is not None and said.password is not None:
                server.login(resolved(said.user), resolved(said.password))
            server.send_message(_mail(said, message))
    except smtplib.SMTPException as error:
        raise NotSent(f"the mail server {host}:{port} refused: {error}") from None


def _connected(smtplib: Any, host: str, port: int) -> Any:  # an SMTP of smtplib, which is loaded late
    if port == _TLS_FROM_THE_START:
        return smtplib.SMTP_SSL(host, port, timeout=LIMIT, context=ssl.create_default_context())
    server = smtplib.SMTP(host, port, timeout=LIMIT)
    try:
        _encrypt(server, host)
    except BaseException:
        server.close()
        raise
    return server


def _encrypt(server: Any, host: str) -> None:  # an SMTP of smtplib
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=ssl.create_default_context())
    elif not is_local(host):
        raise NotSent(f"the mail server {host} offers no encryption (STARTTLS), without which nothing is sent")


def _server(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        return text, _SUBMISSION
    if not port.isdecimal():
        raise NotSent(f"the mail server {text!r} is no HOST:PORT")
    return host.strip("[]"), int(port)


def _mail(said: Email, message: Message) -> EmailMessage:
    to = [resolved(each) for each in said.to]
    user = "" if said.user is None else resolved(said.user)
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.title.split())
    mail["To"] = ", ".join(to)
    mail["From"] = resolved(said.sender) if said.sender else user if "@" in parseaddr(user)[1] else to[0]
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(message.text)
    return mail


# Commands


def _command(channel: Notification, message: Message, folder: Path) -> None:
    said = channel.command
    assert said is not None
    words: str | list[str] = said if isinstance(said, str) else [resolved(word) for word in said]
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as given:
        given.write(message.json)
        given.seek(0)
        process = subprocess.Popen(
            words,
            shell=isinstance(said, str),
            cwd=folder,
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=told,
            start_new_session=True,
        )
        try:
            code = process.wait(LIMIT - 1)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NotSent(f"the command did not end within {LIMIT - 1:g} s, and was ended") from None
        told.seek(0)
        lines = told.read(_READ).decode("utf-8", "replace").strip().splitlines()
    if code:
        raise NotSent(f"the command ended with exit code {code}{f': {lines[-1][:200]}' if lines else ''}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
