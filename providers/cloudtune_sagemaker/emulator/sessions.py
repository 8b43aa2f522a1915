"""Sessions: keys for a time, which STS gives to those who have keys. Moto's own are the same for everybody, or last for ever."""

import re
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.sts.exceptions import STSValidationError
from moto.sts.responses import TokenResponse
from moto.utilities.utils import ARN_PARTITION_REGEX

from cloudtune.emulation.access import new_secret
from cloudtune_sagemaker.emulator.signatures import SIGNER, Key

_SHORTEST = 900
_LONGEST = 129_600
_LONGEST_OF_ROLE = 43_200
"""Seconds that a session may last, as STS's model has them."""

_OF_ROLE = 3600
"""Seconds that a session of a role may last that says nothing else."""

_DENIED = (
    "<ErrorResponse><Error><Code>AccessDenied</Code>"
    "<Message>Cannot call {} with session credentials</Message></Error></ErrorResponse>"
)


@dataclass(frozen=True, slots=True)
class _Session:
    """A session that is not a role's.

    Attributes:
        key: its keys.
        owner: the access key id of the one who asked for it.
    """

    key: Key
    owner: str


class Sessions:
    """The sessions of an emulator that are not roles', by access key id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def begin(self, owner: str, seconds: int) -> dict[str, Any]:
        """Begin a session, and return its ``Credentials``.

        Args:
            owner: the access key id of the one who asks for it.
            seconds: that it lasts.
        """
        now = time.time()
        name, key = f"ASIA{secrets.token_hex(8).upper()}", Key(new_secret(), new_secret(), now + seconds)
        with self._lock:
            self._sessions[name] = _Session(key, owner)
        return {
            "AccessKeyId": name,
            "SecretAccessKey": key.secret,
            "SessionToken": key.token,
            "Expiration": datetime.fromtimestamp(key.until, UTC),
        }

    def key(self, name: str) -> Key | None:
        """Return the keys of a session; None where there is none."""
        session = self._sessions.get(name)
        return None if session is None else session.key

    def owner(self, name: str) -> str:
        """Return the access key id of the one who asked for a session; for other keys the same again."""
        session = self._sessions.get(name)
        return name if session is None else session.owner


class TokenOperations(TokenResponse):
    """Moto's STS, whose keys open what they are for; each emulator has a subclass of its own that knows its sessions."""

    sessions: ClassVar[Sessions]

    def get_access_key(self) -> str:
        """Return the access key id of the one who asks; for a session, of the one who asked for it."""
        return self.sessions.owner(self._signer)

    @property
    def _signer(self) -> str:
        return str(self.normalized_request.environ[SIGNER])

    def get_session_token(self) -> Any:
        """GetSessionToken; refused with keys that are for a time themselves."""
        return self._session("GetSessionToken", super().get_session_token())

    def get_federation_token(self) -> Any:
        """GetFederationToken; refused with keys that are for a time themselves."""
        return self._session("GetFederationToken", super().get_federation_token())

    def assume_role(self) -> ActionResult:
        """AssumeRole, for no longer than the role allows."""
        seconds = self._seconds(_OF_ROLE, _LONGEST_OF_ROLE)
        arn = str(self._get_param("RoleArn"))
        if not re.fullmatch(f"{ARN_PARTITION_REGEX}:iam::[0-9]{{12}}:role/.+", arn):
            raise STSValidationError(f"{arn} is invalid")
        try:
            role = iam_backends[arn.split(":")[4]][self.partition].get_role_by_arn(arn)
            most = int(role.max_session_duration or _OF_ROLE)
        except NotFoundException:  # moto lets roles be assumed that are not there
            most = _LONGEST_OF_ROLE
        if seconds > most:
            raise STSValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        return super().assume_role()

    def _session(self, operation: str, answer: ActionResult) -> Any:
        if self._signer.startswith("ASIA"):
            return 403, {"status": 403}, _DENIED.format(operation)  # botocore's model knows no such error to raise
        credentials = self.sessions.begin(self._signer, self._seconds(_LONGEST_OF_ROLE, _LONGEST))
        told: Any = answer.result
        return ActionResult({**told, "Credentials": credentials})

    def _seconds(self, default: int, most: int) -> int:
        """Return DurationSeconds, which must be in a range."""
        seconds = int(self._get_param("DurationSeconds", default))
        if _SHORTEST <= seconds <= most:
            return seconds
        bound = f"greater than or equal to {_SHORTEST}" if seconds < _SHORTEST else f"less than or equal to {most}"
        raise STSValidationError(
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: "
            f"Member must have value {bound}"
        )


def token_operations(sessions: Sessions) -> type[TokenOperations]:
    """Return what answers the requests to STS of an emulator with these sessions."""
    return type("TokenOperations", (TokenOperations,), {"sessions": sessions})
