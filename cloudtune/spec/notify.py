"""Who is told how a run goes: webhooks, Slack, e-mail, commands.

A secret stands in no job and no config: ``${NAME}`` is the value of an environment variable of the process that sends, looked up when
a message is sent.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cloudtune.space.parameters import SpecModel
from cloudtune.spec.fields import Text

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""The value of an environment variable, in a text."""

NotifyEvent = Literal["end", "failure", "budget"]
EVENTS: tuple[NotifyEvent, ...] = ("end", "failure", "budget")
"""What a channel can be told: that a run completed or was cancelled; that it failed, or its driver or emulator is gone; that 80 % of
`limits.cost` is spent."""

KINDS = ("webhook", "slack", "email", "command")
"""The ways to tell it."""

_SECRET_NAME = re.compile(r"auth|cookie|key|pass|secret|signature|token", re.IGNORECASE)
_TOKEN = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_-]{16,}")
"""A part of an address that looks made by a machine: letters and digits, 16 or more."""

_LOCAL = ("localhost", "127.0.0.1", "::1")


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_as_list)]


class Email(SpecModel):
    """How an e-mail is sent: by SMTP, encrypted unless the server is on this machine."""

    to: Texts
    """The address that it goes to; one, or a list."""
    server: Text
    """The mail server, HOST or HOST:PORT; without a port 587. Port 465 is encrypted from the start, others by STARTTLS."""
    sender: Text | None = None
    """The address that it is from; null: the user if that is an address, else the first of `to`."""
    user: Text | None = None
    """Whom to log in as; null: without a login."""
    password: Text | None = None
    """A reference such as ${SMTP_PASSWORD}: never the password itself."""

    @field_validator("password")
    @classmethod
    def _password_is_a_reference(cls, value: str | None) -> str | None:
        if value is not None and REFERENCE.fullmatch(value) is None:
            raise ValueError(_secret("the password", "SMTP_PASSWORD"))
        return value

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("has a user or a password alone; give both, or none for a server that asks for no login")
        return self


class Notification(SpecModel):
    """One channel, and what it is told."""

    webhook: Text | None = None
    """An address that gets the message as JSON by POST."""
    headers: dict[Text, Text] = {}
    """Further headers of a webhook's request, e.g. {Authorization: "Bearer ${OPS_TOKEN}"}."""
    slack: Text | None = None
    """A reference to the address of an incoming webhook of Slack, e.g. ${SLACK_WEBHOOK_URL}: the address is a secret."""
    email: Email | None = None
    """An e-mail, by SMTP."""
    command: Text | Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """A shell command line, or a list of a program and its arguments, on the machine that follows the run: it gets the message as JSON on stdin."""
    events: tuple[NotifyEvent, ...] = Field(default=EVENTS, min_length=1)
    """What it is told: end (completed or cancelled), failure (failed, or its driver is gone), budget (80 % of limits.cost is spent)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            said = " and ".join(given) if given else "nothing"
            raise ValueError(f"says {said}; give one of webhook, slack, email and command, and a list for several")
        if self.headers and self.webhook is None:
            raise ValueError("has headers, which only a webhook takes")
        return self

    @field_validator("slack")
    @classmethod
    def _slack_is_a_reference(cls, value: str | None) -> str | None:
        if value is not None and REFERENCE.fullmatch(value) is None:
            raise ValueError(_secret("the address of Slack's webhook", "SLACK_WEBHOOK_URL"))
        return value

    @field_validator("webhook")
    @classmethod
    def _webhook_without_secrets(cls, value: str | None) -> str | None:
        if value is None or REFERENCE.fullmatch(value) is not None:
            return value
        bare = REFERENCE.sub("", value)
        try:
            parts = urlsplit(bare)
        except ValueError as error:
            raise ValueError(f"is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("is no address; write https://HOST/PATH, or a reference such as ${WEBHOOK_URL}")
        if parts.password or parts.query.replace("=", "") or any(map(_TOKEN.fullmatch, parts.path.split("/"))):
            raise ValueError(_secret("an address with a password, a query or a token", "WEBHOOK_URL"))
        return value

    @field_validator("headers")
    @classmethod
    def _headers_without_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if _SECRET_NAME.search(name) and REFERENCE.search(value) is None:
                raise ValueError(_secret(f"the header {name!r}", "WEBHOOK_TOKEN"))
        return headers

    @property
    def kind(self) -> str:
        """The way that it is told by, one of `KINDS`."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that it refers to, each once."""
        return tuple(dict.fromkeys(name for text in _texts(self.model_dump()) for name in REFERENCE.findall(text)))


class Channel(Notification):
    """A channel of ``cloudtune.toml``, which is told of all runs of its project or user."""

    profiles: tuple[Text, ...] = ()
    """The profiles whose runs it is told of; none for all."""


def _secret(what: str, variable: str) -> str:
    return (
        f"{what} is a secret, which the run's record would keep and a shared file would show: put it into an environment variable and "
        f"write ${{{variable}}}"
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def is_local(host: str) -> bool:
    """Return whether a host is this machine, to which nothing needs to be encrypted."""
    return host.lower() in _LOCAL


Notifications = Annotated[
    tuple[Notification, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, Mapping | Notification) else value),
]
"""The field of a job: one channel, or a list."""
