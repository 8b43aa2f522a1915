"""The calls of VizierService (google/cloud/aiplatform/v1/vizier_service.proto)."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import empty_pb2

from cloudtune_vertex.emulator.calls import Call, Message, message_of
from cloudtune_vertex.emulator.paging import page_of
from cloudtune_vertex.emulator.studies import Studies

Answering = Callable[[str, Message, Message], Message]
"""From a resource, metadata and an answer to an operation below the resource that gives the answer."""


def vizier_calls(messages: Any, studies: Studies, answering: Answering) -> Mapping[str, Call]:
    """Return the calls by their names.

    Args:
        messages: the module of Google's messages, of one version of the API.
        studies: what they are about.
        answering: makes operations.
    """
    return {
        **_of_studies(messages, studies),
        **_of_trials(messages, studies),
        **_suggesting(messages, studies, answering),
    }


def _of_studies(messages: Any, studies: Studies) -> Mapping[str, Call]:
    study, page = messages.Study.pb(), messages.ListStudiesResponse.pb()

    def list_(request: Message) -> Message:
        found, token = studies.list(request.parent, request.page_size, request.page_token)
        return message_of(page, {"studies": found, "nextPageToken": token})

    def delete(request: Message) -> Message:
        studies.delete(request.name)
        return empty_pb2.Empty()

    return {
        "CreateStudy": Call(
            messages.CreateStudyRequest.pb(),
            lambda request: message_of(study, studies.create(request.parent, request.study)),
        ),
        "GetStudy": Call(messages.GetStudyRequest.pb(), lambda request: message_of(study, studies.get(request.name))),
        "LookupStudy": Call(
            messages.LookupStudyRequest.pb(),
            lambda request: message_of(study, studies.look_up(request.parent, request.display_name)),
        ),
        "ListStudies": Call(messages.ListStudiesRequest.pb(), list_),
        "DeleteStudy": Call(messages.DeleteStudyRequest.pb(), delete),
    }


def _of_trials(messages: Any, studies: Studies) -> Mapping[str, Call]:
    trial, page = messages.Trial.pb(), messages.ListTrialsResponse.pb()

    def create(request: Message) -> Message:
        parameters = request.trial.parameters
        return message_of(trial, studies.within(request.parent, lambda study: study.request(parameters)))

    def get(request: Message) -> Message:
        return message_of(trial, studies.within(request.name, lambda study: study.trial(request.name).message()))

    def list_(request: Message) -> Message:
        whole = studies.within(request.parent, lambda study: study.trials)
        found, token = page_of(whole, request.page_size, request.page_token)
        return message_of(page, {"trials": found, "nextPageToken": token})

    def measure(request: Message) -> Message:
        name, measurement = request.trial_name, request.measurement
        return message_of(trial, studies.within(name, lambda study: study.measure(name, measurement)))

    def complete(request: Message) -> Message:
        final = request.final_measurement if request.HasField("final_measurement") else None
        infeasible, reason = request.trial_infeasible, request.infeasible_reason
        ended = studies.within(
            request.name, lambda study: study.complete(request.name, final, infeasible=infeasible, reason=reason)
        )
        return message_of(trial, ended)

    def stop(request: Message) -> Message:
        return message_of(trial, studies.within(request.name, lambda study: study.stop(request.name)))

    def delete(request: Message) -> Message:
        studies.within(request.name, lambda study: study.delete(request.name))
        return empty_pb2.Empty()

    def optimal(request: Message) -> Message:
        found = studies.within(request.parent, lambda study: study.optimal)
        return message_of(messages.ListOptimalTrialsResponse.pb(), {"optimalTrials": found})

    return {
        "CreateTrial": Call(messages.CreateTrialRequest.pb(), create),
        "GetTrial": Call(messages.GetTrialRequest.pb(), get),
        "ListTrials": Call(messages.ListTrialsRequest.pb(), list_),
        "AddTrialMeasurement": Call(messages.AddTrialMeasurementRequest.pb(), measure),
        "CompleteTrial": Call(messages.CompleteTrialRequest.pb(), complete),
        "StopTrial": Call(messages.StopTrialRequest.pb(), stop),
        "DeleteTrial": Call(messages.DeleteTrialRequest.pb(), delete),
        "ListOptimalTrials": Call(messages.ListOptimalTrialsRequest.pb(), optimal),
    }


def _suggesting(messages: Any, studies: Studies, answering: Answering) -> Mapping[str, Call]:
    def suggest(request: Message) -> Message:
        client, count = request.client_id, request.suggestion_count
        found, state = studies.within(request.parent, lambda study: (study.suggest(client, count), study.state))
        answer = message_of(messages.SuggestTrialsResponse.pb(), {"trials": found, "studyState": state})
        metadata = message_of(messages.SuggestTrialsMetadata.pb(), {"clientId": client})
        return answering(request.parent, metadata, answer)

    def check(request: Message) -> Message:
        name = request.trial_name
        stops = studies.within(name, lambda study: study.should_stop(name))
        answer = message_of(messages.CheckTrialEarlyStoppingStateResponse.pb(), {"shouldStop": stops})
        told = {"study": name.partition("/trials/")[0], "trial": name}
        metadata = message_of(messages.CheckTrialEarlyStoppingStateMetatdata.pb(), told)
        return answering(name, metadata, answer)

    return {
        "SuggestTrials": Call(messages.SuggestTrialsRequest.pb(), suggest),
        "CheckTrialEarlyStoppingState": Call(messages.CheckTrialEarlyStoppingStateRequest.pb(), check),
    }
