"""The least roles that a profile needs: for the caller, the service account that trials run as, and a driver that asks Vizier.

What calls take which permission is said in ``permissions.csv``; here each is put into a custom role to be granted where
it is needed and nowhere above. Trials that run as Vertex AI's own service agent need no role: it has one.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudtune.errors import ConfigError
from cloudtune.provider.permissions import PRINCIPALS, Mode, Need, Principal, permissions, read_needs, with_inputs
from cloudtune_vertex.settings import VertexSettings

_TABLE = Path(__file__).with_name("permissions.csv")

_NEW = "project-without-bucket"
"""The kind of resource of what only a profile without a bucket needs in its project."""

STRATEGY: Principal = "strategy"

_PREDEFINED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "caller": {
        "project": ["roles/aiplatform.user", "roles/logging.viewer"],
        "bucket": ["roles/storage.objectUser", "roles/storage.bucketViewer"],
        "service-account": ["roles/iam.serviceAccountUser"],
    },
    "identity": {"bucket": ["roles/storage.objectUser"], "input-bucket": ["roles/storage.objectViewer"]},
    "strategy": {"project": ["roles/aiplatform.user"]},
}
"""The nearest predefined roles of each kind of resource (https://cloud.google.com/iam/docs/roles-permissions)."""


def policies(settings: VertexSettings, mode: Mode | None = None, inputs: Sequence[str] = ()) -> dict[str, Any]:
    """Return the roles of a profile, by the resource on which they are granted: ``caller`` and ``identity``.

    Args:
        settings: of the profile.
        mode: the only mode of its runs; None for both.
        inputs: places in Cloud Storage that trials read besides.

    Returns:
        For each principal (``strategy`` is the account of a driver that asks Vizier), by resource, the custom ``role`` as ``gcloud iam roles create --file`` reads it, and the
        ``predefined`` roles that come nearest, which permit more. No ``identity`` where trials run as Vertex AI's own.
    """
    needs, places = with_inputs(_needs(settings)), _places(settings)
    read = dict.fromkeys(f"gs://{place.removeprefix('gs://').partition('/')[0]}" for place in inputs)
    places["input-bucket"] = [bucket for bucket in read if bucket not in places["bucket"]]
    principals: list[Principal] = [each for each in PRINCIPALS if each == "caller" or settings.service_account]
    found = {each: _roles(each, permissions(needs, each, mode), places) for each in (*principals, STRATEGY)}
    return {principal: roles for principal, roles in found.items() if roles}


def _needs(settings: VertexSettings) -> list[Need]:
    """Return the table; to make a bucket is needed in the project, if the profile names none."""
    needs = [replace(need, resource="project") if need.resource == _NEW else need for need in read_needs(_TABLE)]
    return [need for need in needs if not (settings.bucket and need.call == "buckets.insert")]


def _roles(
    principal: Principal, needed: Mapping[str, Sequence[str]], places: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    return {
        place: {
            "predefined": list(_PREDEFINED[principal][kind]),
            "role": {
                "title": f"cloudtune {principal}, {kind.replace('-', ' ')}",
                "description": f"What cloudtune's {principal} needs on {place}",
                "stage": "GA",
                "includedPermissions": list(names),
            },
        }
        for kind, names in needed.items()
        for place in places[kind]
    }


def _places(settings: VertexSettings) -> dict[str, list[str]]:
    """Return the resources of each kind; none of a kind that the profile's runs do not touch.

    Raises:
        ConfigError: the project is not known without credentials.
    """
    name = settings.project or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not name:
        raise ConfigError('roles are for a project: write project = "…" in the profile, or set GOOGLE_CLOUD_PROJECT')
    project = f"projects/{name}"
    account = settings.service_account
    buckets = [settings.bucket or f"{name}-vertex-staging-{settings.location}"]
    if settings.output is not None:
        buckets.append(settings.output.removeprefix("gs://").partition("/")[0])
    return {
        "project": [project],
        "bucket": [f"gs://{bucket}" for bucket in dict.fromkeys(buckets)],
        "service-account": [f"{project}/serviceAccounts/{account}"] if account else [],
    }
