"""What the API server finds wrong with objects (k8s.io/kubernetes/pkg/apis/…/validation)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloudtune_kubernetes.emulator.errors import Cause, bad, forbidden_field, immutable, lacking, unsupported
from cloudtune_kubernetes.emulator.kinds import CONFIG_MAP, JOB, POD, PVC, SECRET, Kind
from cloudtune_kubernetes.emulator.quantities import number

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NOT_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
_NOT_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_NOT_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_NOT_NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
)
_KEY = r"[-._a-zA-Z0-9]+"
_NOT_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{_KEY}')"
)
_LABEL_NAMES = frozenset({"namespaces", "services"})
_LONGEST_MAP = 1 << 20
_MOST = 2**31 - 1


def validate(kind: Kind, made: Mapping[str, Any]) -> list[Cause]:
    """Return what is wrong with a new object, with its defaults; [] for nothing."""
    found = _metadata(kind, made["metadata"])
    own = _OF_KIND.get(kind)
    return found + (own(made) if own is not None else [])


def validate_update(kind: Kind, made: Mapping[str, Any], before: Mapping[str, Any]) -> list[Cause]:
    """Return what is wrong with a change of an object."""
    found = validate(kind, made)
    if kind == JOB:
        found += _job_update(made["spec"], before["spec"])
    elif kind == POD:
        found += _pod_update(made["spec"], before["spec"])
    elif kind in (CONFIG_MAP, SECRET) and before.get("immutable"):
        found += [forbidden_field(name, "field is immutable when `immutable` is set") for name in ("data", "binaryData")
                  if made.get(name) != before.get(name)]  # fmt: skip
    return found


def _metadata(kind: Kind, meta: Mapping[str, Any]) -> list[Cause]:
    found, name = [], meta.get("name", "")
    label = kind.plural in _LABEL_NAMES
    if not name:
        found.append(lacking("metadata.name", "name or generateName is required"))
    elif not re.fullmatch(_LABEL if label else SUBDOMAIN, name):
        found.append(bad("metadata.name", name, _NOT_LABEL if label else _NOT_SUBDOMAIN))
    elif len(name) > (63 if label else 253):
        found.append(
            Cause("metadata.name", f"Too long: may not be more than {63 if label else 253} bytes", "FieldValueTooLong")
        )
    return [*found, *_labels(meta.get("labels") or {}, "metadata.labels"), *_annotations(meta.get("annotations") or {})]


def _labels(labels: Mapping[str, str], path: str) -> list[Cause]:
    found = []
    for name, value in labels.items():
        found += _qualified(name, path)
        if len(value) > 63:
            found.append(bad(path, value, "must be no more than 63 bytes"))
        if not re.fullmatch(_VALUE, value):
            found.append(bad(path, value, _NOT_VALUE))
    return found


def _annotations(given: Mapping[str, str]) -> list[Cause]:
    found = [cause for name in given for cause in _qualified(name.lower(), "metadata.annotations")]
    if sum(len(name) + len(value.encode()) for name, value in given.items()) > 262_144:
        found.append(Cause("metadata.annotations", "Too long: may not be more than 262144 bytes", "FieldValueTooLong"))
    return found


def _qualified(name: str, path: str) -> list[Cause]:
    prefix, slash, last = name.rpartition("/")
    found = []
    if slash and not re.fullmatch(SUBDOMAIN, prefix):
        found.append(bad(path, name, f"prefix part {_NOT_SUBDOMAIN}"))
    if len(last) > 63:
        found.append(bad(path, name, "name part must be no more than 63 bytes"))
    if not re.fullmatch(_NAME, last):
        found.append(bad(path, name, _NOT_NAME))
    return found


# Pods


def _pod(made: Mapping[str, Any]) -> list[Cause]:
    return pod_spec(made["spec"], "spec")


def pod_spec(
    spec: Mapping[str, Any], path: str, policies: Sequence[str] = ("Always", "OnFailure", "Never")
) -> list[Cause]:
    """Return what is wrong with the spec of a pod or of a template, at a path."""
    found: list[Cause] = []
    volumes = {volume.get("name", "") for volume in spec.get("volumes") or ()}
    for at, volume in enumerate(spec.get("volumes") or ()):
        found += _volume(volume, f"{path}.volumes[{at}]")
    if not spec.get("containers"):
        found.append(lacking(f"{path}.containers"))
    seen: set[str] = set()
    for name in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(name) or ()):
            found += _container(container, f"{path}.{name}[{at}]", volumes, seen)
    found += _policy(spec, path, policies)
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        found += _between(spec.get("securityContext") or {}, f"{path}.securityContext", name, 0)
    found += _between(spec, path, "activeDeadlineSeconds", 1)
    for name in ("serviceAccountName", "priorityClassName"):
        if spec.get(name) and not re.fullmatch(SUBDOMAIN, spec[name]):
            found.append(bad(f"{path}.{name}", spec[name], _NOT_SUBDOMAIN))
    for at, each in enumerate(spec.get("tolerations") or ()):
        found += _toleration(each, f"{path}.tolerations[{at}]")
    return found + _labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")


def _between(part: Mapping[str, Any], path: str, name: str, least: int) -> list[Cause]:
    """Return whether a number is out of its range, up to the greatest of 32 bits, though its field has 64."""
    value = part.get(name)
    if value is None or least <= value <= _MOST:
        return []
    return [bad(f"{path}.{name}", value, f"must be between {least} and {_MOST}, inclusive")]


def _policy(spec: Mapping[str, Any], path: str, policies: Sequence[str]) -> list[Cause]:
    policy = spec.get("restartPolicy")
    if policy is None or (policy == "Always" and policy not in policies):
        return [lacking(f"{path}.restartPolicy", 'valid values: "OnFailure", "Never"')]
    return [] if policy in policies else [unsupported(f"{path}.restartPolicy", policy, policies)]


def _toleration(each: Mapping[str, Any], path: str) -> list[Cause]:
    found = []
    if each.get("operator", "Equal") not in ("Equal", "Exists"):
        found.append(unsupported(f"{path}.operator", each["operator"], ("Equal", "Exists")))
    if each.get("effect", "") not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
        found.append(unsupported(f"{path}.effect", each["effect"], ("NoSchedule", "PreferNoSchedule", "NoExecute")))
    if not each.get("key") and each.get("operator") != "Exists":
        found.append(bad(f"{path}.operator", each.get("operator", ""), "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))  # fmt: skip
    return found


def _container(made: Mapping[str, Any], path: str, volumes: set[str], seen: set[str]) -> list[Cause]:
    found, name = [], made.get("name", "")
    if not name:
        found.append(lacking(f"{path}.name"))
    elif not re.fullmatch(_LABEL, name) or len(name) > 63:
        found.append(bad(f"{path}.name", name, _NOT_LABEL))
    elif name in seen:
        found.append(Cause(f"{path}.name", f'Duplicate value: "{name}"', "FieldValueDuplicate"))
    seen.add(name)
    if not made.get("image"):
        found.append(lacking(f"{path}.image"))
    for each in ("runAsUser", "runAsGroup"):
        found += _between(made.get("securityContext") or {}, f"{path}.securityContext", each, 0)
    found += _mounts(made.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    return [*found, *_variables(made, path), *_resources(made.get("resources") or {}, f"{path}.resources")]


def _mounts(mounts: Sequence[Mapping[str, Any]], path: str, volumes: set[str]) -> list[Cause]:
    found, places = [], set[str]()
    for at, mount in enumerate(mounts):
        if mount.get("name") not in volumes:
            found.append(Cause(f"{path}[{at}].name", f'Not found: "{mount.get("name", "")}"', "FieldValueNotFound"))
        place, below = mount.get("mountPath", ""), mount.get("subPath") or ""
        if not place:
            found.append(lacking(f"{path}[{at}].mountPath"))
        if place in places:
            found.append(bad(f"{path}[{at}].mountPath", place, "must be unique"))
        places.add(place)
        if below.startswith("/"):
            found.append(bad(f"{path}.subPath", below, "must be a relative path"))
        if ".." in below.split("/"):
            found.append(bad(f"{path}.subPath", below, "must not contain '..'"))
    return found


def _variables(made: Mapping[str, Any], path: str) -> list[Cause]:
    found = []
    for at, variable in enumerate(made.get("env") or ()):
        if not variable.get("name"):
            found.append(lacking(f"{path}.env[{at}].name"))
        if variable.get("value") and variable.get("valueFrom"):
            found.append(bad(f"{path}.env[{at}].valueFrom", "", "may not be specified when `value` is not empty"))
    return found


def _resources(made: Mapping[str, Any], path: str) -> list[Cause]:
    found, limits = [], made.get("limits") or {}
    for side in ("limits", "requests"):
        for name, value in (made.get(side) or {}).items():
            at = f"{path}.{side}[{name}]"
            if number(value) < 0:
                found.append(bad(at, value, "must be greater than or equal to 0"))
            if "/" in name and number(value) % 1:
                found.append(bad(at, value, "must be an integer"))
    for name, value in (made.get("requests") or {}).items():
        if "/" in name and name not in limits:
            found.append(lacking(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        elif "/" in name and number(value) != number(limits[name]):
            found.append(bad(f"{path}.requests", value, f"must be equal to {name} limit of {limits[name]}"))
        elif name in limits and number(value) > number(limits[name]):
            found.append(
                bad(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}")
            )
    return found


def _volume(made: Mapping[str, Any], path: str) -> list[Cause]:
    found, name = [], made.get("name", "")
    if not name:
        found.append(lacking(f"{path}.name"))
    elif not re.fullmatch(_LABEL, name) or len(name) > 63:
        found.append(bad(f"{path}.name", name, _NOT_LABEL))
    for source, key in (
        ("persistentVolumeClaim", "claimName"),
        ("secret", "secretName"),
        ("configMap", "name"),
        ("hostPath", "path"),
    ):
        if made.get(source) is not None and not made[source].get(key):
            found.append(lacking(f"{path}.{source}.{key}"))
    if len([each for each in made if each != "name" and made[each] is not None]) > 1:
        found.append(forbidden_field(f"{path}", "may not specify more than 1 volume type"))
    return found


def _timeless(toleration: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _pod_update(made: Mapping[str, Any], before: Mapping[str, Any]) -> list[Cause]:
    may = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates", "nodeName")

    def rest(spec: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in spec.items() if name not in may}
        for name in ("containers", "initContainers"):
            kept[name] = [
                {key: value for key, value in each.items() if key != "image"} for each in spec.get(name) or ()
            ]
        return kept

    if rest(made) == rest(before):
        held = [_timeless(each) for each in made.get("tolerations") or ()]
        if all(_timeless(each) in held for each in before.get("tolerations") or ()):
            return []
        return [
            forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        ]
    why = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [forbidden_field("spec", why)]


# Jobs


def _job(made: Mapping[str, Any]) -> list[Cause]:
    spec, path = made["spec"], "spec"
    found = [
        bad(f"{path}.{name}", spec[name], "must be greater than or equal to 0")
        for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished",
                     "backoffLimitPerIndex", "maxFailedIndexes")
        if (spec.get(name) or 0) < 0
    ]  # fmt: skip
    indexed = spec["completionMode"] == "Indexed"
    if spec["completionMode"] not in ("Indexed", "NonIndexed"):
        found.append(unsupported(f"{path}.completionMode", spec["completionMode"], ("Indexed", "NonIndexed")))
    if indexed and spec.get("completions") is None:
        found.append(lacking(f"{path}.completions", "when completion mode is Indexed"))
    if not indexed:
        found += [
            bad(f"{path}.{name}", spec[name], "requires indexed completion mode")
            for name in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(name) is not None
        ]
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        found.append(lacking(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    found += _failure_policy(spec.get("podFailurePolicy"), f"{path}.podFailurePolicy")
    template = spec["template"]
    found += _labels(template["metadata"].get("labels") or {}, f"{path}.template.labels")
    found += pod_spec(template["spec"], f"{path}.template.spec", ("OnFailure", "Never"))
    policy = template["spec"].get("restartPolicy")
    if spec.get("podFailurePolicy") and policy not in ("Never", None):
        found.append(
            bad(
                f"{path}.template.spec.restartPolicy",
                policy,
                'only "Never" is supported when podFailurePolicy is specified',
            )
        )
    if spec.get("podReplacementPolicy") not in ("TerminatingOrFailed", "Failed"):
        found.append(
            unsupported(f"{path}.podReplacementPolicy", spec["podReplacementPolicy"], ("Failed", "TerminatingOrFailed"))
        )
    return found


def _failure_policy(policy: Mapping[str, Any] | None, path: str) -> list[Cause]:
    found: list[Cause] = []
    actions = ("Count", "FailIndex", "FailJob", "Ignore")
    for at, rule in enumerate((policy or {}).get("rules") or ()):
        where = f"{path}.rules[{at}]"
        if rule.get("action") not in actions:
            found.append(
                unsupported(f"{where}.action", rule.get("action", ""), actions)
                if rule.get("action")
                else lacking(f"{where}.action", f"valid values: {list(actions)}")
            )
        codes = rule.get("onExitCodes")
        if bool(codes) == bool(rule.get("onPodConditions")):
            found.append(
                bad(
                    where,
                    "",
                    "specifying one of OnExitCodes and OnPodConditions is required"
                    if not codes
                    else "specifying both OnExitCodes and OnPodConditions is not supported",
                )
            )
        elif codes and codes.get("operator") not in ("In", "NotIn"):
            found.append(unsupported(f"{where}.onExitCodes.operator", codes.get("operator", ""), ("In", "NotIn")))
    return found


_FIXED = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy")
"""Fields of a job's spec that never change."""


def _job_update(made: Mapping[str, Any], before: Mapping[str, Any]) -> list[Cause]:
    found = [immutable(f"spec.{name}", made.get(name)) for name in _FIXED if made.get(name) != before.get(name)]
    elastic = made["completionMode"] == "Indexed" and made.get("completions") == made.get("parallelism")
    if made.get("completions") != before.get("completions") and not elastic:
        found.append(immutable("spec.completions", made.get("completions")))
    suspended = before.get("suspend") and made.get("suspend")
    if made["template"] != before["template"] and not suspended:
        found.append(immutable("spec.template", made["template"]))
    return found


# Others


def _decoded(text: str) -> int:
    """Return how many bytes a text in base64 stands for."""
    return len(text) // 4 * 3 - text[-2:].count("=")


def _data(made: Mapping[str, Any]) -> list[Cause]:
    found, size = [], 0
    for field in ("data", "binaryData"):
        for name, value in (made.get(field) or {}).items():
            size += len(value.encode()) if field == "data" else _decoded(value)
            if not re.fullmatch(_KEY, name) or name in (".", "..") or len(name) > 253:
                found.append(bad(f"{field}[{name}]", name, _NOT_KEY))
    if size > _LONGEST_MAP:
        found.append(Cause("", f"Too long: may not be more than {_LONGEST_MAP} bytes", "FieldValueTooLong"))
    return found


def _claim(made: Mapping[str, Any]) -> list[Cause]:
    spec, found = made["spec"], []
    modes = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
    if not spec.get("accessModes"):
        found.append(lacking("spec.accessModes", "at least 1 access mode is required"))
    found += [
        unsupported("spec.accessModes", mode, modes) for mode in spec.get("accessModes") or () if mode not in modes
    ]
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        found.append(lacking("spec.resources[storage]"))
    return found


_OF_KIND: Mapping[Kind, Callable[[Mapping[str, Any]], list[Cause]]] = {
    POD: _pod, JOB: _job, CONFIG_MAP: _data, SECRET: _data, PVC: _claim,
}  # fmt: skip
