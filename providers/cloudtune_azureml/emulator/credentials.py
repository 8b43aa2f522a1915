"""The credentials of one start of the emulator: what its clients send, and what it lets in.

Azure's clients find a service principal in the environment, and the emulator as the place where it signs in: an
authority of the kind that Active Directory Federation Services are, since clients ask no other place about such a one.
Blob storage is opened by a shared access signature, and a job's own token opens what its program logs to.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from werkzeug.wrappers import Request, Response

from cloudtune.emulation.access import Environ, Refusal, bearer, new_secret, same
from cloudtune_azureml.emulator.blobs import ACCOUNT_PREFIX, PREFIX

RUN_PREFIX = "run."
"""How the tokens begin by which running programs log; clients have others."""

DISCOVERY = "/discovery"
"""Where the workspace's services are told; the SDK brings no token there, so the workspace tells it with a signature."""

TENANT = "adfs"
"""The tenant of the service principal: by this name MSAL knows that the authority is to be believed."""

CLIENT = "cloudtune-emulator"
"""The id of the service principal."""

_DISCOVERY = f"/{TENANT}/.well-known/openid-configuration"
_TOKEN = f"/{TENANT}/oauth2/token"
_OF_RUNS = re.compile("/(?:mlflow|history)/")
"""Paths that a job's own token opens."""

_SECONDS = 86_400
_MISSING = Refusal("missing", "Authentication failed. The 'Authorization' header is missing.")
_WRONG = Refusal("wrong", "Authentication failed. The access token or signature is not valid.")


class Tokens:
    """What lets in; all of it is made anew for each start.

    Attributes:
        access: the access token, for everything; also the secret of the service principal.
        signature: the shared access signature of blob storage.
    """

    def __init__(self) -> None:
        self.access, self.signature, self._of_runs = new_secret(), new_secret(), new_secret()

    @property
    def shared_access(self) -> str:
        """The shared access signature, as the query of an address has it."""
        return f"sig={self.signature}"

    def of_run(self, name: str) -> str:
        """Return the token of a job's own program."""
        own = hmac.new(self._of_runs.encode(), name.encode(), hashlib.sha256).hexdigest()
        return f"{RUN_PREFIX}{name}.{own}"

    def admit(self, environ: Environ) -> Refusal | None:
        """Find out whether a request has what lets in where it goes."""
        path, authorization = str(environ.get("PATH_INFO", "")), str(environ.get("HTTP_AUTHORIZATION", ""))
        token = bearer(authorization)
        if same(token, self.access) or path in (_DISCOVERY, _TOKEN):  # these two look for themselves, or tell no secret
            return None
        if path == DISCOVERY or path.startswith((PREFIX, ACCOUNT_PREFIX)):
            given = parse_qs(environ.get("QUERY_STRING", "")).get("sig", [""])
            if len(given) == 1 and same(given[0], self.signature):
                return None
        if _OF_RUNS.match(path) and token.startswith(RUN_PREFIX):
            name = token.removeprefix(RUN_PREFIX).rpartition(".")[0]
            if same(token, self.of_run(name)):
                return None
        return _WRONG if authorization else _MISSING

    # Signing in

    def environment(self, url: str) -> Mapping[str, str]:
        """Return variables by which ``azure.identity`` signs in here.

        Args:
            url: the emulator's address.
        """
        return {
            "AZURE_AUTHORITY_HOST": url,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": self.access,
        }

    def signs_in(self, path: str) -> bool:
        """Return whether a path is one of those by which clients sign in."""
        return path in (_DISCOVERY, _TOKEN)

    def sign_in(self, request: Request, url: str) -> Response:
        """Tell where to sign in, or give the access token for the secret (RFC 6749, section 4.4)."""
        if request.path == _DISCOVERY:
            places = {"authorization_endpoint": f"{url}/{TENANT}/oauth2/authorize", "token_endpoint": f"{url}{_TOKEN}"}
            return _json({**places, "issuer": f"{url}/{TENANT}"})
        request.max_form_memory_size = request.max_content_length = 65_536
        if request.method != "POST" or not same(request.form.get("client_secret", ""), self.access):
            return _json({"error": "invalid_client", "error_description": "The client secret is not valid."}, 401)
        return _json({"token_type": "Bearer", "expires_in": _SECONDS, "access_token": self.access})


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, mimetype="application/json")
