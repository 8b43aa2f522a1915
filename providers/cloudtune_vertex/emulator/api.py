"""Vertex AI's services over REST: the HTTP rules of their calls (google.api.http in their .proto files)."""

import json
from typing import Any

from google.protobuf import json_format
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from cloudtune.emulation.bodies import Request
from cloudtune_vertex.emulator.errors import HTTP_STATUS, Refused
from cloudtune_vertex.emulator.model import read
from cloudtune_vertex.emulator.service import VERSIONS, JobServices

UI = "ui"
"""What stands in the place of the version where Google's clients ask for operations over REST, whatever theirs is."""

_PARENT = f"/<any({', '.join((*VERSIONS, UI))}):version>/projects/<project>/locations/<location>"
_BODIES = {
    "CustomJob": "customJob",
    "HyperparameterTuningJob": "hyperparameterTuningJob",
    "PersistentResource": "persistentResource",
    "Study": "study",
    "Trial": "trial",
}
_WITH_BODY = (
    "LookupStudy", "SuggestTrials", "ListOptimalTrials", "AddTrialMeasurement", "CheckTrialEarlyStoppingState",
    "CompleteTrial", "StopTrial",
)  # fmt: skip
"""Calls whose body has all fields of the request that the path has not."""

_OF_PARENT = ("LookupStudy", "SuggestTrials", "ListOptimalTrials")
_OF_TRIAL = ("AddTrialMeasurement", "CheckTrialEarlyStoppingState")


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
    study = f"{_PARENT}/studies/<study>"
    return [*rules, *_of_vizier(study)] + [
        rule for place in (_PARENT, study, f"{study}/trials/<trial>") for rule in _of_operations(f"{place}/operations")
    ]


def _of_operations(operations: str) -> list[Rule]:
    return [
        Rule(f"{operations}/<name>", endpoint="GetOperation", methods=["GET"]),
        Rule(f"{operations}/<name>:wait", endpoint="WaitOperation", methods=["POST"]),
        Rule(f"{operations}/<name>", endpoint="DeleteOperation", methods=["DELETE"]),
        Rule(operations, endpoint="ListOperations", methods=["GET"]),
    ]


def _of_vizier(study: str) -> list[Rule]:
    studies, trials, trial = f"{_PARENT}/studies", f"{study}/trials", f"{study}/trials/<name>"
    calls = [
        (studies, "POST", "CreateStudy"),
        (studies, "GET", "ListStudies"),
        (f"{studies}:lookup", "POST", "LookupStudy"),
        (study, "GET", "GetStudy"),
        (study, "DELETE", "DeleteStudy"),
        (trials, "POST", "CreateTrial"),
        (trials, "GET", "ListTrials"),
        (f"{trials}:suggest", "POST", "SuggestTrials"),
        (f"{trials}:listOptimalTrials", "POST", "ListOptimalTrials"),
        (trial, "GET", "GetTrial"),
        (trial, "DELETE", "DeleteTrial"),
        (f"{trial}:addTrialMeasurement", "POST", "AddTrialMeasurement"),
        (f"{trial}:checkTrialEarlyStoppingState", "POST", "CheckTrialEarlyStoppingState"),
        (f"{trial}:complete", "POST", "CompleteTrial"),
        (f"{trial}:stop", "POST", "StopTrial"),
    ]
    return [Rule(url, endpoint=name, methods=[method]) for url, method, name in calls]


_URLS = Map(_rules())


def called(request: Request) -> tuple[str, str]:
    """Return the service, and the name of the call that a request is; "" for none."""
    try:
        endpoint, _ = _URLS.bind_to_environ(request.environ).match()
    except HTTPException:
        return "aiplatform", ""
    return "aiplatform", str(endpoint)


class RestApi:
    """The services as a WSGI application, in every version of the API.

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
        version = _version(request)
        service = self._services[VERSIONS[0] if version == UI else version]
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
    if name in _WITH_BODY:
        if name in _OF_PARENT:  # projects/…/studies:lookup, …/trials:suggest
            resource = resource.rpartition("/")[0]
        place = "parent" if name in _OF_PARENT else "trialName" if name in _OF_TRIAL else "name"
        return {**_body(request), **query, place: resource}
    if name.startswith("Create"):
        return {**query, "parent": resource.rpartition("/")[0], _BODIES[name.removeprefix("Create")]: _body(request)}
    if name == "ListOperations":
        return {**query, "name": resource.rpartition("/")[0]}
    if name.startswith("List"):
        return {**query, "parent": resource.rpartition("/")[0]}
    return {"name": resource}


def _body(request: Request) -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refused("INVALID_ARGUMENT", "Invalid JSON payload received. Expected an object.")
    return body
