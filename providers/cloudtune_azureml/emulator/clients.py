"""What leads Azure's SDK to the emulator: a credential, and a cloud of its own."""

import os
import sys
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo

_CLOUD = "AZUREML_CURRENT_CLOUD"
"""The variable in which the SDK keeps the name of the cloud that it speaks to; it reads it when it is imported."""

_FOREVER = 2**31
"""When a token expires, in seconds since 1970: after every emulator's end."""


class EmulatorCredential:
    """A credential of one start of the emulator.

    Args:
        token: the access token.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Return the token, for every scope."""
        return AccessToken(self._token, _FOREVER)

    def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        """Return the token, for every scope."""
        return AccessTokenInfo(self._token, _FOREVER)


def cloud_at(url: str) -> dict[str, Any]:
    """Return arguments of ``MLClient`` for a cloud whose every service is at an address."""
    name = f"cloudtune {url}"  # the SDK keeps a cloud by its name for as long as the process lives
    portals = ("azure_portal", "active_directory", "aml_resource_id", "registry_discovery_endpoint")
    services = {"resource_manager": f"{url}/", "storage_endpoint": "core.windows.net", **dict.fromkeys(portals, url)}
    return {"cloud": name, "cloud_metadata": {"cloud": name, **services}}


def allow_import() -> None:
    """Let the SDK be imported where the environment names a cloud that only the process which started this one knows."""
    if "azure.ai.ml" not in sys.modules and os.environ.get(_CLOUD, "").startswith("cloudtune "):
        del os.environ[_CLOUD]
