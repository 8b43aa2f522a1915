"""Discovery: which groups, versions and resources the API has, in the plain and in the aggregated form."""

from typing import Any

from cloudtune_kubernetes.emulator.kinds import Kind, Kinds

VERSION = "v1.36.0"
"""The release of Kubernetes whose behaviour is emulated."""


def version() -> dict[str, Any]:
    """Return the answer of ``/version``."""
    _, minor, _ = VERSION.split(".")
    return {
        "major": "1", "minor": minor, "gitVersion": f"{VERSION}+cloudtune", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    }  # fmt: skip


def core_versions(address: str) -> dict[str, Any]:
    """Return the answer of ``/api``."""
    at = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": at}


def groups(kinds: Kinds) -> dict[str, Any]:
    """Return the answer of ``/apis``."""
    found = [group(kinds, name) for name in kinds.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(kinds: Kinds, name: str) -> dict[str, Any] | None:
    """Return a group with its versions, as ``/apis/GROUP`` answers; None if there is none."""
    held = kinds.groups().get(name)
    if held is None:
        return None
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in held]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def group_answer(kinds: Kinds, name: str) -> dict[str, Any] | None:
    """Return the answer of ``/apis/GROUP``; None if there is no such group."""
    found = group(kinds, name)
    return None if found is None else {"kind": "APIGroup", "apiVersion": "v1", **found}


def resources(kinds: Kinds, name: str, version: str) -> dict[str, Any] | None:
    """Return the answer of a group's version; None if there is none."""
    held = kinds.groups().get(name, {}).get(version)
    if held is None:
        return None
    listed = [each for kind in sorted(held, key=lambda kind: kind.plural) for each in _resources(kind)]
    head = {"kind": "APIResourceList", **({"apiVersion": "v1"} if name else {})}
    return {**head, "groupVersion": f"{name}/{version}" if name else version, "resources": listed}


def _resources(kind: Kind) -> list[dict[str, Any]]:
    own = {
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": list(kind.verbs),
        **({"shortNames": list(kind.short)} if kind.short else {}),
        **({"categories": list(kind.categories)} if kind.categories else {}),
    }  # fmt: skip
    return [own, *(_subresource(kind, name, verbs) for name, verbs in kind.subresources)]


_OTHER_KINDS = {"binding": ("", "", "Binding"), "eviction": ("policy", "v1", "Eviction"),
                "token": ("authentication.k8s.io", "v1", "TokenRequest")}  # fmt: skip
"""The kinds of subresources that are not their object's."""


def _subresource(kind: Kind, name: str, verbs: tuple[str, ...]) -> dict[str, Any]:
    group_name, version, own = _OTHER_KINDS.get(name, ("", "", kind.kind))
    return {
        "name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced,
        **({"group": group_name, "version": version} if group_name else {}),
        "kind": own, "verbs": list(verbs),
    }  # fmt: skip


def aggregated(kinds: Kinds, *, core: bool) -> dict[str, Any]:
    """Return the aggregated answer of ``/api`` or ``/apis`` (apidiscovery.k8s.io/v2)."""
    items = []
    for name, versions in kinds.groups().items():
        if (name == "") == core:
            listed = [
                {
                    "version": version,
                    "resources": [_whole(kind) for kind in sorted(held, key=lambda kind: kind.plural)],
                    "freshness": "Current",
                }
                for version, held in versions.items()
            ]
            items.append({"metadata": {"name": name} if name else {}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _whole(kind: Kind) -> dict[str, Any]:
    parts = []
    for name, verbs in kind.subresources:
        group_name, version, own = _OTHER_KINDS.get(name, ("", "", kind.kind))
        response = {"group": group_name, "version": version, "kind": own}
        parts.append({"subresource": name, "responseKind": response, "verbs": list(verbs)})
    return {
        "resource": kind.plural,
        "responseKind": {"group": "" if kind.model else kind.group, "version": "" if kind.model else kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
        **({"shortNames": list(kind.short)} if kind.short else {}),
        **({"categories": list(kind.categories)} if kind.categories else {}),
        **({"subresources": parts} if parts else {}),
    }  # fmt: skip
