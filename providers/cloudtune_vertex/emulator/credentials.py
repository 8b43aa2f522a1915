"""The credentials of one start of the emulator: what its clients send, and what it lets in.

Google's clients are given a file of credentials, as ``gcloud`` leaves one for users of other identity providers: with
it they ask for an access token, here at the emulator's own address. Clients of Cloud Storage that heed
STORAGE_EMULATOR_HOST ask for no credentials; they find a password in that address.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.wrappers import Response

from cloudtune.emulation.access import Environ, Refusal, bearer, new_secret, same
from cloudtune.emulation.authority import CALLER, IDENTITY
from cloudtune.emulation.bodies import Request

TOKEN_PATH = "/token"  # noqa: S105  # a path
"""Where a client gets an access token for what its file of credentials says."""

_STORAGE = ("/storage/", "/upload/", "/download/")
"""Paths of Cloud Storage, all that the password of STORAGE_EMULATOR_HOST opens."""

_USER = "emulator"
_SECONDS = 3600
_MISSING = Refusal("missing", "Request is missing required authentication credential.")
_WRONG = Refusal("wrong", "Request had invalid authentication credentials.")


class Tokens:
    """What lets in; all of it is made anew for each start.

    Attributes:
        access: the access token, for everything.
        storage: the password for Cloud Storage alone, which trials have, too.
    """

    def __init__(self) -> None:
        self.access, self.storage, self._refresh = new_secret(), new_secret(), new_secret()

    def admit(self, environ: Environ) -> Refusal | None:
        """Find out whether a request has what lets in where it goes."""
        path, authorization = str(environ.get("PATH_INFO", "")), str(environ.get("HTTP_AUTHORIZATION", ""))
        if path == TOKEN_PATH:
            return None  # it looks for itself
        if self.admits(authorization) or same(_password(authorization), self.access):
            return None
        if path.startswith(_STORAGE):
            # The address of a begun upload holds a secret of its own, as on the service: the upload's id.
            if "upload_id=" in environ.get("QUERY_STRING", "") and environ.get("REQUEST_METHOD") == "PUT":
                return None
            if same(_password(authorization), self.storage):
                return None
        return _WRONG if authorization else _MISSING

    def principal(self, environ: Environ) -> str:
        """Return who sends an admitted request: a job, which has the password of Cloud Storage alone, or a client."""
        given = _password(str(environ.get("HTTP_AUTHORIZATION", "")))
        return IDENTITY if same(given, self.storage) else CALLER

    def admits(self, authorization: str) -> bool:
        """Return whether a header ``Authorization`` has the access token."""
        return same(bearer(authorization), self.access)

    def answer(self, environ: Environ, respond: Any) -> Any:
        """Give an access token for the refresh token: a WSGI application (RFC 6749, section 6)."""
        request = Request(environ)
        request.max_form_memory_size = request.max_content_length = 65_536
        given = request.form.get("refresh_token", "") if request.method == "POST" else ""
        if not same(given, self._refresh):
            return _json({"error": "invalid_grant", "error_description": "Bad Request"}, 400)(environ, respond)
        told = {"access_token": self.access, "expires_in": _SECONDS, "token_type": "Bearer"}
        return _json(told)(environ, respond)

    def of_client(self, url: str) -> dict[str, str]:
        """Return the content of a file of credentials for Google's clients.

        Args:
            url: the emulator's address.
        """
        return {
            "type": "external_account_authorized_user",
            "token": self.access,
            "client_id": "cloudtune-emulator",
            "client_secret": "cloudtune-emulator",  # asked for, and no secret: the tokens are
            "refresh_token": self._refresh,
            "token_url": f"{url}{TOKEN_PATH}",
        }

    def write(self, path: Path, url: str) -> None:
        """Write the file that GOOGLE_APPLICATION_CREDENTIALS names; readable by its owner alone."""
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_text(json.dumps(self.of_client(url)))

    def address(self, url: str) -> str:
        """Return an address with the access token as its password, for clients with anonymous credentials."""
        return f"http://{_USER}:{self.access}@{urlsplit(url).netloc}"

    def storage_host(self, url: str) -> str:
        """Return the address of Cloud Storage with its password, for STORAGE_EMULATOR_HOST."""
        return f"http://{_USER}:{self.storage}@{urlsplit(url).netloc}"


def _password(authorization: str) -> str:
    """Return the password of a header ``Authorization`` of the kind ``Basic``, or the token of the kind ``Bearer``."""
    kind, _, encoded = authorization.strip().partition(" ")
    if kind.lower() != "basic":
        return bearer(authorization)
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, mimetype="application/json")
