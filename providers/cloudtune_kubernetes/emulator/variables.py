"""The variables of a container: given ones, those of configMaps and secrets, and fields of its pod."""

from collections.abc import Mapping
from typing import Any

from cloudtune_kubernetes.emulator.fields import expanded, field_of, resource_of
from cloudtune_kubernetes.emulator.kinds import CONFIG_MAP, SECRET, Kind
from cloudtune_kubernetes.emulator.volumes import VolumeSource, content_of


class BadConfig(Exception):
    """A container names a configMap, a secret or a key that does not exist."""


def variables_of(pod: Mapping[str, Any], container: Mapping[str, Any], sources: VolumeSource) -> dict[str, str]:
    """Return the variables of a container.

    Args:
        pod: its pod, with its addresses.
        container: of the pod's spec.
        sources: where configMaps and secrets are.

    Raises:
        BadConfig: it names something that does not exist.
    """
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    made = {"HOSTNAME": spec.get("hostname") or pod["metadata"]["name"]}
    for source in container.get("envFrom") or ():
        made |= _all_of(source, namespace, sources)
    for variable in container.get("env") or ():
        value = variable.get("valueFrom")
        if value is None:
            made[variable["name"]] = expanded(variable.get("value") or "", made)
            continue
        found = _value(value, pod, container, sources)
        if found is not None:
            made[variable["name"]] = found
    return made


def _all_of(source: Mapping[str, Any], namespace: str, sources: VolumeSource) -> dict[str, str]:
    for key, kind in (("configMapRef", CONFIG_MAP), ("secretRef", SECRET)):
        if source.get(key) is not None:
            data = _content(kind, namespace, source[key], sources)
            return {
                f"{source.get('prefix', '')}{name}": value.decode(errors="replace")
                for name, value in (data or {}).items()
            }
    return {}


def _value(
    value: Mapping[str, Any], pod: Mapping[str, Any], container: Mapping[str, Any], sources: VolumeSource
) -> str | None:
    if value.get("fieldRef") is not None:
        return field_of(pod, value["fieldRef"]["fieldPath"])
    if value.get("resourceFieldRef") is not None:
        reference = value["resourceFieldRef"]
        return resource_of(pod, reference.get("containerName") or container["name"], reference)
    for name, kind in (("configMapKeyRef", CONFIG_MAP), ("secretKeyRef", SECRET)):
        reference = value.get(name)
        if reference is None:
            continue
        namespace = pod["metadata"]["namespace"]
        data = _content(kind, namespace, reference, sources)
        if data is None:
            return None
        if reference["key"] in data:
            return data[reference["key"]].decode(errors="replace")
        if not reference.get("optional") and not sources.lenient:
            what = "ConfigMap" if kind == CONFIG_MAP else "Secret"
            raise BadConfig(f"couldn't find key {reference['key']} in {what} {namespace}/{reference.get('name', '')}")
        return None
    return ""


def _content(
    kind: Kind, namespace: str, reference: Mapping[str, Any], sources: VolumeSource
) -> dict[str, bytes] | None:
    found = sources.store.get(kind, namespace, reference.get("name", ""))
    if found is not None:
        return content_of(found)
    if reference.get("optional") or sources.lenient:
        return None
    raise BadConfig(f'{kind.kind.lower()} "{reference.get("name", "")}" not found')
