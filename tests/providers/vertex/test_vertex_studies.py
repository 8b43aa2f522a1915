"""Vizier's studies in the emulator, by Google's own client: suggestions, measurements, ends, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from google.api_core import exceptions
    from google.api_core.client_options import ClientOptions
    from google.cloud import aiplatform_v1 as v1
    from google.cloud.aiplatform_v1.services.vizier_service.transports.grpc import VizierServiceGrpcTransport

    from cloudtune_vertex.client import plain_channel
    from cloudtune_vertex.emulator import VertexEmulator

LOSS = [{"metric_id": "loss", "goal": "MINIMIZE"}]
X = {"parameter_id": "x", "double_value_spec": {"min_value": 0, "max_value": 1}}


class Studies:
    """An emulator and Vizier's client."""

    def __init__(self, emulator: VertexEmulator, client: Any) -> None:
        self.emulator, self.client = emulator, client
        self.count = 0

    def make(self, *parameters: Any, metrics: Any = LOSS, **spec: Any) -> str:
        self.count += 1
        study = {"display_name": f"study {self.count}", "study_spec": {"metrics": metrics, "parameters": parameters or [X], **spec}}  # fmt: skip
        return str(self.client.create_study(parent=self.emulator.parent, study=study).name)

    def suggest(self, study: str, client: str = "a", count: int = 1) -> Any:
        request = {"parent": study, "client_id": client, "suggestion_count": count}
        return self.client.suggest_trials(request).result(timeout=100)

    def complete(self, trial: Any, **metrics: float) -> Any:
        return self.client.complete_trial({"name": trial.name, "final_measurement": measurement(**metrics)})

    def measure(self, trial: Any, step: int, **metrics: float) -> Any:
        request = {"trial_name": trial.name, "measurement": measurement(step, **metrics)}
        return self.client.add_trial_measurement(request)

    def stops(self, trial: Any) -> bool:
        answer = self.client.check_trial_early_stopping_state({"trial_name": trial.name}).result(timeout=100)
        return bool(answer.should_stop)


def measurement(step: int = 1, **metrics: float) -> dict[str, Any]:
    return {"step_count": step, "metrics": [{"metric_id": name, "value": value} for name, value in metrics.items()]}


def values(trial: Any) -> dict[str, Any]:
    return {each.parameter_id: each.value for each in trial.parameters}


@pytest.fixture(scope="module")
def rest() -> Iterator[Studies]:
    with VertexEmulator(seed=3) as emulator:
        options = ClientOptions(api_endpoint=emulator.url)
        client = v1.VizierServiceClient(credentials=emulator.credentials, transport="rest", client_options=options)
        yield Studies(emulator, client)


@pytest.fixture(scope="module")
def grpc(rest: Studies) -> Studies:
    channel = plain_channel(f"http://{rest.emulator.target}", rest.emulator.credentials)
    studies = Studies(rest.emulator, v1.VizierServiceClient(transport=VizierServiceGrpcTransport(channel=channel)))
    studies.count = 1000
    return studies


@pytest.fixture(params=["rest", "grpc"])
def studies(request: pytest.FixtureRequest) -> Studies:
    found: Studies = request.getfixturevalue(request.param)
    return found


def test_a_client_gets_its_trial_until_it_has_completed_it(studies: Studies) -> None:
    study = studies.make()
    first = studies.suggest(study)
    (trial,) = first.trials
    assert (first.study_state.name, trial.state.name, trial.client_id, trial.id) == ("ACTIVE", "ACTIVE", "a", "1")
    assert 0 <= values(trial)["x"] <= 1
    assert studies.suggest(study).trials == [trial]
    (other,) = studies.suggest(study, "b").trials
    assert other.name != trial.name
    done = studies.complete(trial, loss=0)
    assert (done.state.name, done.final_measurement.metrics[0].value) == ("SUCCEEDED", 0.0)
    assert done.end_time >= done.start_time
    (after,) = studies.suggest(study).trials
    assert after.id == "3"
    assert [each.id for each in studies.client.list_trials(parent=study)] == ["1", "2", "3"]
    assert [each.id for each in studies.client.list_optimal_trials({"parent": study}).optimal_trials] == ["1"]
    assert studies.client.get_trial(name=after.name) == after


def test_studies_are_found_by_name_and_by_display_name(studies: Studies) -> None:
    name = studies.make()
    study = studies.client.get_study(name=name)
    parent = studies.emulator.parent
    assert studies.client.lookup_study({"parent": parent, "display_name": study.display_name}) == study
    assert study in list(studies.client.list_studies(parent=parent))
    with pytest.raises(exceptions.Conflict):
        studies.client.create_study(parent=parent, study={"display_name": study.display_name, "study_spec": study.study_spec})  # fmt: skip
    studies.client.delete_study(name=name)
    for call in (
        lambda: studies.client.get_study(name=name),
        lambda: studies.client.lookup_study({"parent": parent, "display_name": study.display_name}),
        lambda: studies.suggest(name),
        lambda: studies.client.get_trial(name=f"{name}/trials/1"),
    ):
        with pytest.raises(exceptions.NotFound):
            call()


def test_a_trial_of_the_clients_own_is_suggested_next(studies: Studies) -> None:
    study = studies.make(X, {"parameter_id": "c", "categorical_value_spec": {"values": ["a", "b"]}})
    own = [{"parameter_id": "x", "value": 0.25}, {"parameter_id": "c", "value": "b"}]
    requested = studies.client.create_trial(parent=study, trial={"parameters": own})
    assert (requested.state.name, requested.client_id) == ("REQUESTED", "")
    (trial,) = studies.suggest(study).trials
    assert (trial.name, trial.client_id, values(trial)) == (requested.name, "a", {"x": 0.25, "c": "b"})
    for wrong in ([own[0]], [*own, {"parameter_id": "z", "value": 1}], [own[0], {"parameter_id": "c", "value": "z"}]):
        with pytest.raises(exceptions.BadRequest):
            studies.client.create_trial(parent=study, trial={"parameters": wrong})


def test_what_has_ended_changes_no_more(rest: Studies) -> None:
    study = rest.make()
    succeeded, infeasible, unmeasured = rest.suggest(study, count=3).trials
    rest.complete(succeeded, loss=1)
    told = {"name": infeasible.name, "trial_infeasible": True, "infeasible_reason": "no memory"}
    assert rest.client.complete_trial(told).infeasible_reason == "no memory"
    assert rest.client.complete_trial({"name": unmeasured.name}).state.name == "INFEASIBLE"
    for trial in (succeeded, infeasible):
        for call in (
            lambda trial=trial: rest.complete(trial, loss=1),
            lambda trial=trial: rest.measure(trial, 1, loss=1),
            lambda trial=trial: rest.stops(trial),
            lambda trial=trial: rest.client.stop_trial({"name": trial.name}),
        ):
            with pytest.raises(exceptions.BadRequest, match=r"The Trial is (SUCCEEDED|INFEASIBLE)"):
                call()
    rest.client.delete_trial(name=infeasible.name)
    with pytest.raises(exceptions.NotFound):
        rest.client.get_trial(name=infeasible.name)


def test_the_last_or_best_measurement_ends_a_trial_that_is_given_none(rest: Studies) -> None:
    for kind, expected in (("LAST_MEASUREMENT", 3.0), ("BEST_MEASUREMENT", 1.0)):
        (trial,) = rest.suggest(rest.make(measurement_selection_type=kind)).trials
        for step, loss in enumerate((5.0, 1.0, 3.0), 1):
            rest.measure(trial, step, loss=loss)
        done = rest.client.complete_trial({"name": trial.name})
        assert done.final_measurement.metrics[0].value == expected
        assert [each.step_count for each in done.measurements] == [1, 2, 3]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"metrics": [{"metric_id": "other", "value": 1}]}, "'other' is no metric of the study"),
        ({"metrics": []}, "must hold a metric"),
        ({"metrics": [{"metric_id": "loss", "value": float("nan")}]}, "must be a number"),
        ({"step_count": -1, "metrics": [{"metric_id": "loss", "value": 1}]}, "must not be below 0"),
        ({"step_count": 2, "metrics": [{"metric_id": "loss", "value": 1}]}, "must be ordered"),
    ],
)
def test_measurements_that_make_no_sense_are_refused(rest: Studies, told: Any, message: str) -> None:
    (trial,) = rest.suggest(rest.make()).trials
    rest.measure(trial, 2, loss=1)
    with pytest.raises(exceptions.BadRequest, match=message):
        rest.client.add_trial_measurement({"trial_name": trial.name, "measurement": told})


def test_the_median_rule_asks_a_bad_trial_to_stop(rest: Studies) -> None:
    study = rest.make(median_automated_stopping_spec={})
    trials = rest.suggest(study, count=6).trials
    for trial in trials[:5]:
        for step in range(1, 6):
            rest.measure(trial, step, loss=1)
        assert not rest.stops(trial)
        rest.complete(trial, loss=1)
    for step in range(1, 6):
        rest.measure(trials[5], step, loss=100)
    assert rest.stops(trials[5])
    assert rest.client.get_trial(name=trials[5].name).state.name == "STOPPING"
    assert rest.complete(trials[5], loss=100).state.name == "SUCCEEDED"


def test_a_grid_ends_and_so_does_a_study_that_has_had_its_trials(rest: Studies) -> None:
    k = {"parameter_id": "k", "integer_value_spec": {"min_value": 1, "max_value": 3}}
    whole = rest.suggest(rest.make(k, algorithm="GRID_SEARCH"), count=5)
    assert [values(trial)["k"] for trial in whole.trials] == [1.0, 2.0, 3.0]
    assert whole.study_state.name == "COMPLETED"
    study = rest.make(study_stopping_config={"max_num_trials": 2})
    assert [len(rest.suggest(study, name).trials) for name in "abc"] == [1, 1, 0]
    assert rest.client.get_study(name=study).state.name == "COMPLETED"


def test_suggestions_learn_and_several_metrics_have_a_front(rest: Studies) -> None:
    study = rest.make()
    for _ in range(10):
        (trial,) = rest.suggest(study).trials
        rest.complete(trial, loss=(values(trial)["x"] - 0.3) ** 2)
    (best,) = rest.client.list_optimal_trials({"parent": study}).optimal_trials
    assert values(best)["x"] == pytest.approx(0.3, abs=0.1)
    two = rest.make(metrics=[*LOSS, {"metric_id": "gain", "goal": "MAXIMIZE"}], algorithm="RANDOM_SEARCH")
    trials = rest.suggest(two, count=3).trials
    for trial, (loss, gain) in zip(trials, [(1, 1), (2, 2), (3, 1)], strict=True):
        rest.complete(trial, loss=loss, gain=gain)
    assert [each.id for each in rest.client.list_optimal_trials({"parent": two}).optimal_trials] == ["1", "2"]
    with pytest.raises(exceptions.BadRequest, match="has no value of 'gain'"):
        rest.complete(rest.suggest(two).trials[0], loss=1)


def test_a_study_that_breaks_a_rule_is_refused(rest: Studies) -> None:
    wrong = {"parameter_id": "x", "double_value_spec": {"min_value": 2, "max_value": 1}}
    with pytest.raises(exceptions.BadRequest, match="study.*minValue.*2.0 is above maxValue"):
        rest.make(wrong)
    with pytest.raises(exceptions.BadRequest, match="displayName"):
        rest.client.create_study(
            parent=rest.emulator.parent, study={"study_spec": {"metrics": LOSS, "parameters": [X]}}
        )


def test_a_slow_service_answers_later(rest: Studies) -> None:
    study = rest.make()
    rest.emulator.faults.slow = 0.05
    try:
        operation = rest.client.suggest_trials({"parent": study, "client_id": "a", "suggestion_count": 1})
        assert not operation._operation.done
        assert operation._operation.name.startswith(f"{study}/operations/")
        assert len(operation.result(timeout=100).trials) == 1
    finally:
        rest.emulator.faults.slow = 0.0


def test_calls_take_the_permission_of_what_they_do(rest: Studies) -> None:
    study = rest.make()
    try:
        rest.emulator.enforce({"caller": {"includedPermissions": ["aiplatform.trials.create"]}})
        (trial,) = rest.suggest(study).trials
        with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.trials\.update"):
            rest.complete(trial, loss=1)
    finally:
        rest.emulator.enforce(None)
