"""What a policy permits: the rules of roles, as ``rbac.authorization.k8s.io`` decides by them, and the answers to reviews."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune.emulation.authority import Ask, Authority
from cloudtune_kubernetes.emulator.calls import Call
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.kinds import ACCESS_REVIEW, RULES_REVIEW


class RolePolicy:
    """Roles that a principal has.

    Args:
        document: a Role or ClusterRole, or several: a list of them, or ``{"kind": "List", "items": […]}``. A Role counts in
            its namespace, or in every one if it names none. Other objects, such as role bindings, are passed over.

    Raises:
        ValueError: there is no role.
    """

    def __init__(self, document: Any) -> None:
        given = document.get("items", [document]) if isinstance(document, Mapping) else document
        roles = [each for each in given if isinstance(each, Mapping) and each.get("kind") in ("Role", "ClusterRole")]
        if not roles:
            raise ValueError("there is no object of the kind Role or ClusterRole")
        self._rules: list[tuple[str, Mapping[str, Any]]] = [
            (_namespace(role), rule) for role in roles for rule in role.get("rules") or ()
        ]

    def allows(self, ask: Ask) -> bool:
        """Return whether a rule of a role permits an action."""
        given = dict(ask.context)
        group, _, resource = ask.resource.partition("/")
        return any(
            namespace in ("", given.get("namespace", ""))
            and _permits(rule, ask.action, group, resource, given.get("name", ""))
            for namespace, rule in self._rules
        )

    def rules(self, namespace: str) -> list[dict[str, Any]]:
        """Return the rules that count in a namespace."""
        return [dict(rule) for where, rule in self._rules if where in ("", namespace)]


def _namespace(role: Mapping[str, Any]) -> str:
    return str((role.get("metadata") or {}).get("namespace") or "") if role["kind"] == "Role" else ""


def _permits(rule: Mapping[str, Any], verb: str, group: str, resource: str, name: str) -> bool:
    def has(field: str, *values: str) -> bool:
        return any(each in rule.get(field, ()) for each in ("*", *values))

    names: Sequence[str] = rule.get("resourceNames") or ()
    part = resource.partition("/")[2]
    return (
        has("verbs", verb)
        and has("apiGroups", group)
        and has("resources", resource, *([f"*/{part}"] if part else []))
        and (not names or name in names)
    )


def need(authority: Authority, principal: str, user: str, call: Call) -> None:
    """Refuse a call that a policy does not permit.

    Raises:
        Refused: the call is not permitted.
    """
    if call.kind in (ACCESS_REVIEW, RULES_REVIEW):  # the cluster role system:basic-user lets everybody ask
        return
    if authority.denied(principal, call.ask) is None:
        return
    resource = f"{call.kind.plural}{f'/{call.part}' if call.part else ''}"
    place = f'in the namespace "{call.namespace}"' if call.namespace else "at the cluster scope"
    why = f'User "{user}" cannot {call.verb} resource "{resource}" in API group "{call.kind.group}" {place}'
    name = f' "{call.name}"' if call.name else ""
    details = {
        **({"name": call.name} if call.name else {}),
        **({"group": call.kind.group} if call.kind.group else {}),
        "kind": call.kind.plural,
    }
    raise Refused(403, "Forbidden", f"{call.kind.qualified}{name} is forbidden: {why}", details)


def access_review(authority: Authority, principal: str, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return a SelfSubjectAccessReview with its answer."""
    wanted = (made.get("spec") or {}).get("resourceAttributes") or {}
    resource = wanted.get("resource", "")
    if wanted.get("subresource"):
        resource += f"/{wanted['subresource']}"
    context = (("namespace", wanted.get("namespace", "")), ("name", wanted.get("name", "")))
    ask = Ask(wanted.get("verb", ""), f"{wanted.get('group', '')}/{resource}", context)
    allowed = authority.denied(principal, ask) is None
    return {**made, "metadata": {}, "status": {"allowed": allowed}}


def rules_review(rules: Sequence[Mapping[str, Any]] | None, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return a SelfSubjectRulesReview with its answer; None as rules for everything."""
    everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    held = everything if rules is None else [dict(rule) for rule in rules]
    return {**made, "metadata": {}, "status": {"resourceRules": held, "nonResourceRules": [], "incomplete": False}}
