"""The least grants and permissions that a profile needs.

Databricks has no policy document: grants of Unity Catalog are statements of SQL, and permissions on objects of the workspace
are bodies of its Permissions API. https://docs.databricks.com/aws/data-governance/unity-catalog/manage-privileges and
https://docs.databricks.com/aws/security/auth/access-control
"""

from typing import Any

from cloudtune.errors import ConfigError
from cloudtune_databricks.settings import DatabricksSettings
from cloudtune_databricks.words import EXAMPLE, PLACE

_WHO = "`PRINCIPAL`"


def policies(settings: DatabricksSettings) -> dict[str, Any]:
    """Return what to grant to ``caller``, who starts and follows runs, and to ``identity``, as whom trials run.

    Returns:
        For each ``grants``, statements of SQL; ``permissions``, levels on objects of the workspace; ``entitlements``.

    Raises:
        ConfigError: the profile names no volume.
    """
    if settings.volume is None:
        raise ConfigError(f'grants are on a volume; write volume = "{EXAMPLE}" in the profile')
    both = {"grants": _grants(settings.volume)}
    caller = {
        **both,
        "permissions": _permissions(settings),
        "entitlements": ["workspace-access", *_entitlements(settings)],
    }
    return {"caller": caller, "identity": both}


def _grants(volume: str) -> list[str]:
    found = PLACE.fullmatch(volume)
    assert found is not None
    catalog, schema, name = found.groups()[:3]
    return [
        f"GRANT USE CATALOG ON CATALOG `{catalog}` TO {_WHO}",
        f"GRANT USE SCHEMA ON SCHEMA `{catalog}`.`{schema}` TO {_WHO}",
        f"GRANT READ VOLUME, WRITE VOLUME ON VOLUME `{catalog}`.`{schema}`.`{name}` TO {_WHO}",
    ]


def _permissions(settings: DatabricksSettings) -> list[dict[str, str]]:
    found = []
    if settings.cluster is not None:
        found.append({"object": f"clusters/{settings.cluster}", "permission_level": "CAN_RESTART"})
    if settings.identity is not None and "@" not in settings.identity:
        role = "roles/servicePrincipal.user"
        found.append({"object": f"servicePrincipals/{settings.identity}", "permission_level": role})
    if settings.experiment is not None:
        found.append({"object": f"experiments{settings.experiment}", "permission_level": "CAN_EDIT"})
    return found


def _entitlements(settings: DatabricksSettings) -> list[str]:
    policy = "policy_id" in str(settings.submit)
    return ["allow-cluster-create"] if settings.instance is not None and not policy else []
