"""The least roles that a profile needs: for the caller, and for a managed identity that trials use storage with.

What calls take which operation is said in ``permissions.csv``. A role definition is made for a resource group, the
narrowest scope that one may be made for; assign it on the workspace and its storage account alone.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.errors import ConfigError
from cloudtune.provider.permissions import PRINCIPALS, Mode, permissions, read_needs
from cloudtune_azureml.settings import AzureMlSettings

_TABLE = Path(__file__).with_name("permissions.csv")

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
"""How data actions begin."""

_READING = "read code and inputs"
"""The call of the row for what a trial reads."""

_DATASTORE = re.compile(r"/datastores/([\w-]+)/paths/")

_TEXTS: Mapping[str, str] = {
    "caller": "Starts and follows cloudtune's runs; assign it on {place} and on its storage account",
    "identity": "What trials of cloudtune with a managed identity need; assign it on the storage account of {place}",
    "inputs": "What trials of cloudtune with a managed identity read besides; assign it on the storage accounts of {place}",
    "quotas": "Lets cloudtune check the quotas of the subscription",
}


def policies(settings: AzureMlSettings, mode: Mode | None = None, inputs: Sequence[str] = ()) -> dict[str, Any]:
    """Return the role definitions of a profile, as ``az role definition create`` takes them, for each principal.

    Args:
        settings: of the profile.
        mode: the only mode of its runs; None for both.
        inputs: places that trials read besides. A role definition names no storage account: where to assign one that only
            reads is said in its description.

    Returns:
        ``caller``: a role for the resource group, and one for the quotas of the subscription. ``identity``: a role for jobs
        with a managed identity; other jobs use the workspace's own credentials.

    Raises:
        ConfigError: the profile does not say all of the workspace.
    """
    needs, (subscription, group, workspace) = read_needs(_TABLE), _workspace(settings)
    scopes = {"subscription": f"/subscriptions/{subscription}"}
    scopes["group"] = f"{scopes['subscription']}/resourceGroups/{group}"
    place = f"the workspace {workspace}"
    found: dict[str, Any] = {
        principal: [
            _role("quotas" if kind == "subscription" else principal, place, names, scopes[kind])
            for kind, names in permissions(needs, principal, mode).items()
        ]
        for principal in PRINCIPALS
    }
    if stores := list(dict.fromkeys(store for store in map(_datastore, inputs) if store)):
        reading = [need.permission for need in needs if (need.principal, need.call) == ("identity", _READING)]
        found["identity"].append(_role("inputs", f"the datastores {', '.join(stores)}", reading, scopes["group"]))
    return found


def _datastore(place: str) -> str:
    """Return the datastore that a place lies in; "" for one of the workspace's own, in its storage account."""
    found = _DATASTORE.search(place)
    return "" if found is None or found[1].startswith("workspace") else found[1]


def _workspace(settings: AzureMlSettings) -> tuple[str, str, str]:
    """Return the subscription, resource group and name of the profile's workspace."""
    own = {
        "subscription": settings.subscription or os.environ.get("AZURE_SUBSCRIPTION_ID"),
        "resource_group": settings.resource_group,
        "workspace": settings.workspace,
    }
    missing = ", ".join(f'{name} = "…"' for name, value in own.items() if not value)
    if missing:
        raise ConfigError(f"roles are for a workspace: write {missing} in the profile")
    subscription, group, workspace = (str(value) for value in own.values())
    return subscription, group, workspace


def data_actions() -> list[str]:
    """Return the data actions that callers take on blobs."""
    names = permissions(read_needs(_TABLE), "caller")["group"]
    return [name for name in names if name.startswith(_BLOBS)]


def _role(kind: str, place: str, names: Sequence[str], scope: str) -> dict[str, Any]:
    return {
        "Name": f"cloudtune {kind}, {place}",
        "IsCustom": True,
        "Description": _TEXTS[kind].format(place=place),
        "Actions": [name for name in names if not name.startswith(_BLOBS)],
        "NotActions": [],
        "DataActions": [name for name in names if name.startswith(_BLOBS)],
        "NotDataActions": [],
        "AssignableScopes": [scope],
    }
