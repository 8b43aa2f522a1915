"""JobService over REST: the HTTP rules of its calls (google.api.http in job_service.proto)."""

import json
from typing import Any

from google.protobuf import json_format
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from cloudtune_vertex.emulator.errors import HTTP_STATUS, Refused
from cloudtune_vertex.emulator.model import read
from cloudtune_vertex.emulator.service import VERSIONS, JobServices

_PARENT = f"/<any({', '.join(VERSIONS)}):version>/projects/<project>/locations/<location>"
_BODIES = {
    "CustomJob": "customJob",
    "HyperparameterTuningJob": "hyperparameterTuningJob",
    "PersistentResource": "persistentResource",
}


def _rules() -> list[Rule]:
    rules = []
    for kind, collection in (("CustomJob", "customJobs"), ("HyperparameterTuningJob", "hyperparameterTuningJobs")):
        plural = f"{kind}s"
        rules += [
            Rule(f"{_PARENT}/{collection}", endpoint=f"Create{kind}", methods=["POST"]),
            Rule(f"{_PARENT}/{collection}", endpoint=f"List{plural}", methods=["GET"]),
            Rule(f"{_PARENT}/{collection}/<name>", endpoint=f"Get{kind}", methods=["GET"]),
            Rule(f"{_PARENT}/{collection}/<name>", endpoint=f"Delete{kind}", methods=["DELETE"]),
            Rule(f"{_PARENT}/{collection}/<name>:cancel", endpoint=f"Cancel{kind}", methods=["POST"]),
        ]
    resources = f"{_PARENT}/persistentResources"
    rules += [
        Rule(resources, endpoint="CreatePersistentResource", methods=["POST"]),
        Rule(resources, endpoint="ListPersistentResources", methods=["GET"]),
        Rule(f"{resources}/<name>", endpoint="GetPersistentResource", methods=["GET"]),
        Rule(f"{resources}/<name>", endpoint="DeletePersistentResource", methods=["DELETE"]),
    ]
    operations = f"{_PARENT}/operations"
    return [
        *rules,
        Rule(f"{operations}/<name>", endpoint="GetOperation", methods=["GET"]),
        Rule(f"{operations}/<name>:wait", endpoint="WaitOperation", methods=["POST"]),
        Rule(f"{operations}/<name>", endpoint="DeleteOperation", methods=["DELETE"]),
        Rule(operations, endpoint="ListOperations", methods=["GET"]),
    ]


_URLS = Map(_rules())


def called(request: Request) -> tuple[str, str]:
    """Return the service, and the name of the call that a request is; "" for none."""
    try:
        endpoint, _ = _URLS.bind_to_environ(request.environ).match()
    except HTTPException:
        return "aiplatform", ""
    return "aiplatform", str(endpoint)


class RestApi:
    """JobService as a WSGI application, in every version of the API.

    Args:
        services: what it serves.
    """

    def __init__(self, services: JobServices) -> None:
        self._services = services

    def __call__(self, environ: Any, respond: Any) -> Any:
        request = Request(environ)
        try:
            answer = self._answer(request)
        except Refused as refused:
            answer = Response(json.dumps(refused.body), HTTP_STATUS[refused.code], mimetype="application/json")
        return answer(environ, respond)

    def _answer(self, request: Request) -> Response:
        _, name = called(request)
        if not name:
            raise Refused("UNIMPLEMENTED", f"the emulator has no {request.method} {request.path}")
        service = self._services[_version(request)]
        call = {**service.calls, **service.operations}[name]
        message = call.request()
        read(_data(request, name), message)
        numbers = "enum-encoding=int" in request.args.get("$alt", "")
        text = json_format.MessageToJson(call.answer(message), use_integers_for_enums=numbers, indent=None)
        return Response(text, mimetype="application/json")


def _version(request: Request) -> str:
    return request.path.split("/")[1]


def _data(request: Request, name: str) -> dict[str, Any]:
    """Return the fields of the call's request: of the path, the query and the body."""
    resource = request.path.removeprefix(f"/{_version(request)}/").partition(":")[0]
    query = {key: value for key, value in request.args.items() if not key.startswith("$")}
    if name.startswith("Create"):
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise Refused("INVALID_ARGUMENT", "Invalid JSON payload received. Expected an object.")
        return {**query, "parent": resource.rpartition("/")[0], _BODIES[name.removeprefix("Create")]: body}
    if name == "ListOperations":
        return {**query, "name": resource.rpartition("/")[0]}
    if name.startswith("List"):
        return {**query, "parent": resource.rpartition("/")[0]}
    return {"name": resource}
