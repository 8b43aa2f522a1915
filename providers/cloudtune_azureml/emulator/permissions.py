"""Which operations of a resource provider a request takes, read from its method and path, and whether a role has them.

Resource Manager names the operation of a request by the type of the resource that its path names: to GET it is
``TYPE/read``, to PUT or PATCH ``TYPE/write``, to DELETE ``TYPE/delete``, and to POST below it ``TYPE/VERB/action`` ("Azure
resource provider operations"). Run history and MLflow are about ``workspaces/experiments``, blobs about data actions of
the storage account ("Azure permissions for Machine Learning", "Permissions for calling blob data operations").
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Request

from cloudtune.emulation.authority import Ask

_ML = "Microsoft.MachineLearningServices"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers"
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_OF_PROVIDER = re.compile(rf"(.*)/providers/({re.escape(_ML)})/(.+)", re.IGNORECASE)

_MLFLOW_READS = frozenset({"get", "get-by-name", "search", "get-history", "list"})

_DATA = f"{_BLOBS}/blobs/".lower()


class AzurePolicy:
    """Custom roles of one principal.

    Args:
        roles: one role definition or several, as ``az role definition create`` takes them.

    Raises:
        ValueError: one has no ``AssignableScopes`` or no actions.
    """

    def __init__(self, roles: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        self._roles = [_Role(each) for each in ([roles] if isinstance(roles, Mapping) else roles)]

    def allows(self, ask: Ask) -> bool:
        """Return whether one of the roles has an action, and may be assigned on the resource or above it."""
        return any(role.allows(ask) for role in self._roles)


class _Role:
    def __init__(self, given: Mapping[str, Any]) -> None:
        self._scopes = [str(scope).rstrip("/").lower() for scope in given["AssignableScopes"]]
        self._lists = {name: _patterns(given.get(name) or ()) for name in _LISTS}
        if not self._lists["Actions"] and not self._lists["DataActions"]:
            raise ValueError(f"the role {given.get('Name', '')} has no Actions and no DataActions")

    def allows(self, ask: Ask) -> bool:
        scope = ask.resource.lower()
        if not any(scope == each or scope.startswith(f"{each}/") for each in self._scopes):
            return False
        kind = "DataActions" if ask.action.lower().startswith(_DATA) else "Actions"
        return _has(self._lists[kind], ask.action) and not _has(self._lists[f"Not{kind}"], ask.action)


_LISTS = ("Actions", "NotActions", "DataActions", "NotDataActions")


def _patterns(actions: Sequence[str]) -> list[re.Pattern[str]]:
    """Return the regexes of actions with wildcards."""
    return [re.compile(re.escape(action).replace(r"\*", ".*"), re.IGNORECASE) for action in actions]


def _has(patterns: Sequence[re.Pattern[str]], action: str) -> bool:
    return any(pattern.fullmatch(action) for pattern in patterns)


def asks_of(method: str, path: str) -> list[Ask]:
    """Return the operation that a request to Resource Manager, run history or MLflow takes; none for another one.

    Args:
        method: of HTTP.
        path: of its address, e.g. ``/subscriptions/S/…/workspaces/W/jobs/NAME/cancel``.
    """
    found = _OF_PROVIDER.fullmatch(re.sub(r"^/(?:mlflow|history|data)/v[\d.]+", "", path))
    if found is None:
        return []
    above, provider, rest = found.groups()
    mlflow = re.fullmatch(r"(workspaces/[^/]+)/api/2\.0/mlflow/(\w+)/([\w-]+)", rest)
    if mlflow is not None:
        place, what, call = mlflow.groups()
        kind = "workspaces/experiments" if what == "experiments" else "workspaces/experiments/runs"
        verb = "read" if call in _MLFLOW_READS else "write"
        return [Ask(f"{provider}/{kind}/{verb}", f"{above}/providers/{provider}/{place}")]
    own = re.match(r"workspaces/[^/]+", rest)
    scope = f"{above}/providers/{provider}/{own[0] if own else rest}"
    if path.startswith("/history/"):
        verb = "write" if method == "PATCH" else "read"
        return [Ask(f"{provider}/workspaces/experiments/runs/{verb}", scope)]
    if path.startswith("/data/"):
        return [Ask(f"{provider}/workspaces/data/versions/read", scope)]
    return [Ask(f"{provider}/{_operation(method, rest.split('/'))}", f"{above}/providers/{provider}/{rest}")]


def _operation(method: str, parts: Sequence[str]) -> str:
    """Return the type that the parts of a path name, with the verb of a method."""
    types = "/".join(parts[::2])
    if method == "POST":
        return f"{types}/action"
    return f"{types}/{_VERBS.get(method, 'action')}"


def asks_of_blob(request: Request, container: str, account: str) -> list[Ask]:
    """Return the data action that a request to the Blob service takes of a client with a token.

    Args:
        request: the request.
        container: the container that it names.
        account: the id of the storage account.
    """
    method, scope = request.method, f"{account}/blobServices/default/containers/{container}"
    if request.args.get("restype") == "container" and request.args.get("comp") != "list":
        return [Ask(f"{_BLOBS}/{_VERBS.get(method, 'write')}", scope)]
    return [Ask(f"{_BLOBS}/blobs/{_VERBS.get(method, 'write')}", scope)]


def ask_of_job(account: str, verb: str) -> Ask:
    """Return the data action that a job takes with an identity of its own, ``read`` or ``write``."""
    return Ask(f"{_BLOBS}/blobs/{verb}", f"{account}/blobServices/default")


def message_of(ask: Ask, client: str) -> str:
    """Return what Resource Manager says of an operation that no role allows."""
    return (
        f"The client '{client}' with object id '{client}' does not have authorization to perform action '{ask.action}' "
        f"over scope '{ask.resource}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
