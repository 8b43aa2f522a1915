"""The credentials of one start of the emulator: a client's bearer token, tokens of service accounts, and a kubeconfig file."""

import base64
import json
import threading
from pathlib import Path
from typing import Any

from cloudtune.emulation.access import Environ, Refusal, bearer, new_secret, same
from cloudtune.emulation.authority import CALLER, IDENTITY

_DENIED = Refusal("missing", "Unauthorized")
_WRONG = Refusal("wrong", "Unauthorized")
USER = "cloudtune"


class Tokens:
    """What lets in; all of it is made anew for each start.

    Attributes:
        access: the token of clients.
    """

    def __init__(self) -> None:
        self.access = new_secret()
        self._secret = new_secret()
        self._lock = threading.Lock()
        self._accounts: dict[str, str] = {}

    def of_account(self, namespace: str, name: str) -> str:
        """Return the token of a service account, the same for all of its pods."""
        user = f"system:serviceaccount:{namespace}:{name}"
        with self._lock:
            return self._accounts.setdefault(user, f"sa-{self._secret}-{len(self._accounts)}")

    def admit(self, environ: Environ) -> Refusal | None:
        """Find out whether a request has a token."""
        authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
        if self.user(environ):
            return None
        return _WRONG if authorization else _DENIED

    def user(self, environ: Environ) -> str:
        """Return the name of who sends a request; "" for nobody known."""
        given = bearer(str(environ.get("HTTP_AUTHORIZATION", "")))
        if same(given, self.access):
            return USER
        with self._lock:
            accounts = list(self._accounts.items())
        return next((user for user, token in accounts if same(given, token)), "")

    def principal(self, environ: Environ) -> str:
        """Return who sends an admitted request: a client, or a program in a pod."""
        return CALLER if self.user(environ) == USER else IDENTITY


def kubeconfig(url: str, certificate: Path, token: str, namespace: str) -> dict[str, Any]:
    """Return the content of a kubeconfig file.

    Args:
        url: of the API server.
        certificate: the file with what signs its certificate.
        token: of the user.
        namespace: of the context.
    """
    data = base64.b64encode(certificate.read_bytes()).decode()
    name = "cloudtune-emulator"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority-data": data}}],
        "users": [{"name": USER, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": USER, "namespace": namespace}}],
        "current-context": name,
        "preferences": {},
    }


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write a file that its owner alone may read."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(json.dumps(content, indent=1))
