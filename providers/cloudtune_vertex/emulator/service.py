"""JobService, PersistentResourceService and VizierService, whatever carries its messages: each call by its name, from a request's message to an answer's.

https://cloud.google.com/vertex-ai/docs/reference/rpc/google.cloud.aiplatform.v1#jobservice
"""

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, json_format

from cloudtune.emulation.authority import CALLER, STRATEGY, Authority
from cloudtune_vertex.emulator.calls import Call, message_of
from cloudtune_vertex.emulator.errors import Refused, denied
from cloudtune_vertex.emulator.permissions import VIZIER, asks_of
from cloudtune_vertex.emulator.registry import Jobs
from cloudtune_vertex.emulator.studies import Studies
from cloudtune_vertex.emulator.vizier import vizier_calls

Message = Any
"""A message of protobuf."""


VERSIONS = ("v1", "v1beta1")
"""The versions of the API that are served; they differ in their messages, not in the jobs."""


@dataclass
class Operations:
    """The operations that deleted something, make machines or suggest trials, by their names, whatever version of the API began them.

    Attributes:
        done: all of them.
        begun: returns what is made, of those that make something; None while it is not made.
    """

    done: dict[str, operations_pb2.Operation] = field(default_factory=dict)
    begun: dict[str, Callable[[], Message | None]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class JobService:
    """The calls for custom jobs, tuning jobs and studies, and for the operations of them.

    Args:
        jobs: what they are about.
        studies: what the calls of VizierService are about.
        version: of the API, one of `VERSIONS`.
        operations: of all versions.
        authority: decides what callers may do.

    Attributes:
        calls: of JobService, by their names.
        operations: of google.longrunning.Operations, by their names.
    """

    def __init__(
        self, jobs: Jobs, studies: Studies, version: str, operations: Operations, authority: Authority
    ) -> None:
        self._authority = authority
        self._jobs = jobs
        self._messages: Any = importlib.import_module(f"google.cloud.aiplatform_{version}")
        self._operations = operations
        calls = {
            **self._calls_of("CustomJob", "custom_job", "CustomJobs"),
            **self._calls_of_resources(),
            **self._calls_of("HyperparameterTuningJob", "hyperparameter_tuning_job", "HyperparameterTuningJobs"),
            **vizier_calls(self._messages, studies, self._answering),
        }
        self.calls: dict[str, Call] = {name: self._permitted(name, call) for name, call in calls.items()}
        self.operations: dict[str, Call] = {
            "GetOperation": Call(operations_pb2.GetOperationRequest, self._get_operation),
            "WaitOperation": Call(operations_pb2.WaitOperationRequest, self._get_operation),
            "ListOperations": Call(operations_pb2.ListOperationsRequest, self._list_operations),
            "DeleteOperation": Call(operations_pb2.DeleteOperationRequest, self._delete_operation),
        }

    def _permitted(self, name: str, call: Call) -> Call:
        """Return a call that is refused to callers who may not make it."""

        def answer(request: Message) -> Message:
            suggests = name in VIZIER and self._authority.policy(STRATEGY) is not None
            missing = self._authority.denied(STRATEGY if suggests else CALLER, *asks_of(name, request))
            if missing is not None:
                raise denied(missing)
            return call.answer(request)

        return Call(call.request, answer)

    def _calls_of(self, kind: str, field: str, plural: str) -> Mapping[str, Call]:
        v1 = self._messages
        resource, page = getattr(v1, kind).pb(), getattr(v1, f"List{plural}Response").pb()

        def create(request: Message) -> Message:
            return message_of(resource, self._jobs.create(kind, request.parent, getattr(request, field)))

        def get(request: Message) -> Message:
            return message_of(resource, self._jobs.get(kind, request.name))

        def list_(request: Message) -> Message:
            found, token = self._jobs.list(kind, json_format.MessageToDict(request))
            name = plural[0].lower() + plural[1:]
            return message_of(page, {name: found, "nextPageToken": token})

        def cancel(request: Message) -> Message:
            self._jobs.cancel(kind, request.name)
            return empty_pb2.Empty()

        def delete(request: Message) -> Message:
            self._jobs.delete(kind, request.name)
            return self._finished(request.name)

        return {
            f"Create{kind}": Call(getattr(v1, f"Create{kind}Request").pb(), create),
            f"Get{kind}": Call(getattr(v1, f"Get{kind}Request").pb(), get),
            f"List{plural}": Call(getattr(v1, f"List{plural}Request").pb(), list_),
            f"Cancel{kind}": Call(getattr(v1, f"Cancel{kind}Request").pb(), cancel),
            f"Delete{kind}": Call(getattr(v1, f"Delete{kind}Request").pb(), delete),
        }

    def _calls_of_resources(self) -> Mapping[str, Call]:
        """Return the calls of PersistentResourceService."""
        v1, resources = self._messages, self._jobs.resources
        resource, page = v1.PersistentResource.pb(), v1.ListPersistentResourcesResponse.pb()

        def create(request: Message) -> Message:
            made = resources.create(request.parent, request.persistent_resource_id, request.persistent_resource)
            return self._begun(made["name"], lambda: started(made["name"]))

        def started(name: str) -> Message | None:
            found = message_of(resource, resources.get(name))
            return found if found.state == v1.PersistentResource.State.RUNNING else None

        def list_(request: Message) -> Message:
            return message_of(page, {"persistentResources": resources.list(request.parent)})

        def delete(request: Message) -> Message:
            resources.delete(request.name)
            return self._finished(request.name)

        return {
            "CreatePersistentResource": Call(v1.CreatePersistentResourceRequest.pb(), create),
            "GetPersistentResource": Call(
                v1.GetPersistentResourceRequest.pb(), lambda request: message_of(resource, resources.get(request.name))
            ),
            "ListPersistentResources": Call(v1.ListPersistentResourcesRequest.pb(), list_),
            "DeletePersistentResource": Call(v1.DeletePersistentResourceRequest.pb(), delete),
        }

    # Operations: what is deleted is gone at once, machines take their time to start

    def _operation(self, parent: str, metadata: Message) -> operations_pb2.Operation:
        done = self._operations.done
        with self._operations.lock:
            operation = operations_pb2.Operation(name=f"{parent}/operations/{len(done) + 1}")
            operation.metadata.CopyFrom(_packed(metadata))
            done[operation.name] = operation
            return operation

    def _finished(self, name: str) -> operations_pb2.Operation:
        operation = self._operation(_location(name), self._messages.DeleteOperationMetadata.pb()())
        operation.response.CopyFrom(_packed(empty_pb2.Empty()))
        operation.done = True
        return operation

    def _answering(self, parent: str, metadata: Message, answer: Message) -> operations_pb2.Operation:
        """Return an operation with an answer: done at once, or later where the service is slow (`Faults.slow`)."""
        operation, until = self._operation(parent, metadata), time.monotonic() + self._jobs.lag
        self._operations.begun[operation.name] = lambda: answer if time.monotonic() >= until else None
        return self._looked_at(operation)

    def _begun(self, name: str, made: Callable[[], Message | None]) -> operations_pb2.Operation:
        metadata = self._messages.CreatePersistentResourceOperationMetadata.pb()()
        operation = self._operation(_location(name), metadata)
        self._operations.begun[operation.name] = made
        return operation

    def _get_operation(self, request: Message) -> operations_pb2.Operation:
        found = self._operations.done.get(request.name)
        if found is None:
            raise Refused("NOT_FOUND", f"There is no operation {request.name}")
        return self._looked_at(found)

    def _looked_at(self, operation: operations_pb2.Operation) -> operations_pb2.Operation:
        """Return an operation as it stands now."""
        made = None if operation.done else self._operations.begun[operation.name]()
        if made is not None:
            operation.response.CopyFrom(_packed(made))
            operation.done = True
        return operation

    def _list_operations(self, request: Message) -> operations_pb2.ListOperationsResponse:
        found = [operation for name, operation in list(self._operations.done.items()) if name.startswith(request.name)]
        return operations_pb2.ListOperationsResponse(operations=found)

    def _delete_operation(self, request: Message) -> empty_pb2.Empty:
        self._get_operation(request)
        with self._operations.lock:
            self._operations.done.pop(request.name, None)
        return empty_pb2.Empty()


class JobServices:
    """The service in every version of the API, each made when it is first asked for: its messages take a second to load.

    Args:
        jobs: what they are about.
        studies: of VizierService.
        authority: decides what callers may do.
    """

    def __init__(self, jobs: Jobs, studies: Studies, authority: Authority) -> None:
        self._jobs, self._studies, self._operations, self._authority = jobs, studies, Operations(), authority
        self._made: dict[str, JobService] = {}
        self._lock = threading.Lock()

    def __getitem__(self, version: str) -> JobService:
        with self._lock:
            if version not in self._made:
                self._made[version] = JobService(self._jobs, self._studies, version, self._operations, self._authority)
            return self._made[version]


def _location(name: str) -> str:
    """Return the location that a resource is in."""
    return "/".join(name.split("/")[:4])


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
