"""The emulator of Vertex AI: tuning jobs and what is told of them, lists and filters."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from late import LATE
from vertex_emulation import METRICS, WRITE, Used, X, eventually, request, values

from cloudtune.search import strategy_for
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.emulator.queries import BadQuery, compiled

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    import grpc
    from google.api_core import exceptions
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1 as v1


# A tuning job


def test_a_tuning_job_runs_its_trials_and_tells_all_of_them(shared: Used) -> None:
    job = shared.run(request(f"{X}for step in (1, 2): tell(step, loss=x * step)"))
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert job.create_time <= job.start_time <= job.end_time
    assert [trial.id for trial in job.trials] == ["1", "2", "3", "4"]
    for trial in job.trials:
        assert trial.state.name == "SUCCEEDED"
        assert [each.step_count for each in trial.measurements] == [1, 2]
        assert trial.final_measurement.metrics[0].value == pytest.approx(2 * values(trial)["x"])
        custom = shared.client.get_custom_job(name=trial.custom_job)
        assert custom.state.name == "JOB_STATE_SUCCEEDED"
    assert trial.custom_job not in {each.name for each in shared.client.list_custom_jobs(parent=shared.emulator.parent)}


def test_random_values_are_those_of_the_local_random_strategy(emulate: Callable[..., Used]) -> None:
    used = emulate(seed=7)
    job = used.run(request(f"{X}tell(loss=x)"))
    spec = TuningJob.from_data(
        {
            "name": "same",
            "trial": {"command": "x"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"p0": {"type": "float", "low": 0, "high": 1}},
            "strategy": {"type": "random", "seed": 7},
            "limits": {"trials": 4},
        }
    )
    strategy = strategy_for(spec, spec.search_space(), 7)
    expected = [(strategy.suggest(number) or {})["p0"] for number in range(4)]
    assert [values(trial)["x"] for trial in job.trials] == expected


def test_a_grid_tries_every_combination_once(shared: Used) -> None:
    code = f"{METRICS}p.add_argument('--k', type=int)\np.add_argument('--c')\nk = p.parse_args().k\n{WRITE}tell(loss=k)"
    parameters = [
        {"parameterId": "k", "integerValueSpec": {"minValue": 1, "maxValue": 3}},
        {"parameterId": "c", "categoricalValueSpec": {"values": ["a", "b"]}},
    ]
    job = shared.run(request(code, studySpec={"parameters": parameters, "algorithm": "GRID_SEARCH"}, maxTrialCount=20))
    tried = [(values(trial)["k"], values(trial)["c"]) for trial in job.trials]
    assert sorted(tried) == [(float(k), c) for k in (1, 2, 3) for c in ("a", "b")]


def test_every_kind_of_parameter_arrives_as_the_service_writes_it(shared: Used) -> None:
    code = f"import sys\n{METRICS}{WRITE}open(os.environ['SEEN'], 'w').write(json.dumps(sys.argv[1:]))\ntell(loss=1)"
    parameters = [
        {"parameterId": "d", "doubleValueSpec": {"minValue": 0.001, "maxValue": 1}, "scaleType": "UNIT_LOG_SCALE"},
        {"parameterId": "r", "doubleValueSpec": {"minValue": 0.5, "maxValue": 1}, "scaleType": "UNIT_REVERSE_LOG_SCALE"},
        {"parameterId": "i", "integerValueSpec": {"minValue": 1, "maxValue": 3}},
        {"parameterId": "v", "discreteValueSpec": {"values": [16, 32]}},
        {"parameterId": "größe.1", "categoricalValueSpec": {"values": ["a b", "c"]}},
    ]  # fmt: skip
    seen = shared.emulator.buckets.path(f"gs://{shared.emulator.bucket}/seen.json")
    data = request(code, studySpec={"parameters": parameters, "algorithm": ""}, maxTrialCount=1, parallelTrialCount=1)
    data["studySpec"].pop("algorithm")
    data["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]["env"] = [{"name": "SEEN", "value": str(seen)}]
    (trial,) = shared.run(data).trials
    given = dict(word.removeprefix("--").split("=", 1) for word in json.loads(seen.read_text()))
    assert set(given) == {"d", "r", "i", "v", "größe.1"}
    assert given["i"] in ("1", "2", "3")
    assert given["v"] in ("16", "32")
    assert 0.5 <= float(given["r"]) <= 1
    told = values(trial)
    assert {name: float(given[name]) for name in "driv"} == {name: told[name] for name in "driv"}
    assert told["größe.1"] == given["größe.1"]


def test_conditional_parameters_are_there_when_their_parent_says_so(shared: Used) -> None:
    code = f"{METRICS}p.add_argument('--m')\np.add_argument('--k', type=int)\np.add_argument('--l', type=float)\na = p.parse_args()\n{WRITE}assert (a.k is None) == (a.m == 'b'), a\nassert (a.l is None) == (a.k != 2), a\ntell(loss=1)"
    leaf = {"parameterId": "l", "doubleValueSpec": {"minValue": 0, "maxValue": 1}}
    inner = {"parameterId": "k", "integerValueSpec": {"minValue": 1, "maxValue": 2}, "conditionalParameterSpecs": [{"parameterSpec": leaf, "parentIntValues": {"values": [2]}}]}  # fmt: skip
    outer = {"parameterId": "m", "categoricalValueSpec": {"values": ["a", "b"]}, "conditionalParameterSpecs": [{"parameterSpec": inner, "parentCategoricalValues": {"values": ["a"]}}]}  # fmt: skip
    job = shared.run(request(code, studySpec={"parameters": [outer]}, maxTrialCount=10, parallelTrialCount=4))
    assert {trial.state.name for trial in job.trials} == {"SUCCEEDED"}
    assert {len(trial.parameters) for trial in job.trials} == {1, 2, 3}


def test_the_best_measurement_may_count(shared: Used) -> None:
    code = f"{X}for step, loss in enumerate((5, 1, 3)): tell(step + 1, loss=loss)"
    best = shared.run(request(code, studySpec={"measurementSelectionType": "BEST_MEASUREMENT"}, maxTrialCount=1))
    assert best.trials[0].final_measurement.metrics[0].value == 1
    last = shared.run(request(code, studySpec={"measurementSelectionType": "LAST_MEASUREMENT"}, maxTrialCount=1))
    assert last.trials[0].final_measurement.metrics[0].value == 3


def test_early_stopping_stops_a_trial_that_does_badly(shared: Used) -> None:
    code = (
        f"{X}"
        "bad = os.environ['CLOUD_ML_TRIAL_ID'] == '6'\n"
        "for step in range(1, 300 if bad else 6):\n"
        "    tell(step, loss=100 if bad else x)\n"
        "    time.sleep(0.1 if bad else 0.01)\n"
    )
    job = shared.run(request(code, studySpec={"medianAutomatedStoppingSpec": {}}, maxTrialCount=6, parallelTrialCount=1))  # fmt: skip
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert len(job.trials[5].measurements) < 250
    assert job.trials[5].state.name == "SUCCEEDED"


def test_a_study_stops_when_nothing_improves(shared: Used) -> None:
    job = shared.run(request(f"{X}tell(loss=1)", studySpec={"studyStoppingConfig": {"maxNumTrialsNoProgress": 2}}, maxTrialCount=20, parallelTrialCount=1))  # fmt: skip
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert len(job.trials) == 3


def test_too_many_failed_trials_fail_the_job(shared: Used) -> None:
    job = shared.run(
        request("raise SystemExit('broken')", maxFailedTrialCount=2, maxTrialCount=9, parallelTrialCount=1)
    )
    assert job.state.name == "JOB_STATE_FAILED"
    assert "broken" in job.error.message
    assert {trial.state.name for trial in job.trials} == {"INFEASIBLE"}
    assert "status of 1" in job.trials[0].infeasible_reason


def test_a_trial_without_a_metric_is_infeasible_and_others_are_not(shared: Used) -> None:
    code = f"{X}\nif os.environ['CLOUD_ML_TRIAL_ID'] != '2': tell(loss=x)"
    job = shared.run(request(code))
    assert [trial.state.name for trial in job.trials] == ["SUCCEEDED", "INFEASIBLE", "SUCCEEDED", "SUCCEEDED"]
    assert "metrics" in job.trials[1].infeasible_reason


def test_numbers_that_are_none_are_told_as_they_are(shared: Used) -> None:
    job = shared.run(request(f"{X}tell(1, loss=float('inf'))\ntell(2, loss=x)", maxTrialCount=1))
    (trial,) = job.trials
    assert [each.metrics[0].value for each in trial.measurements] == [float("inf"), values(trial)["x"]]


def test_cancelling_ends_the_trials(shared: Used) -> None:
    name = shared.create(request("import time; time.sleep(60)"))
    eventually(lambda: [trial.state.name for trial in shared.get(name).trials] == ["ACTIVE", "ACTIVE"])
    shared.client.cancel_hyperparameter_tuning_job(name=name)
    assert shared.emulator.wait(name, 30) == "JOB_STATE_CANCELLED"
    shared.client.cancel_hyperparameter_tuning_job(name=name)
    assert {shared.client.get_custom_job(name=trial.custom_job).state.name for trial in shared.get(name).trials} == {
        "JOB_STATE_CANCELLED"
    }


def test_trials_have_folders_of_their_own(shared: Used) -> None:
    code = f"{X}tell(loss=x)\nopen(os.environ['SEEN'] + '/' + os.environ['CLOUD_ML_TRIAL_ID'], 'w').write(os.environ['AIP_MODEL_DIR'])"
    folder = shared.emulator.buckets.folder / shared.emulator.bucket / "seen"
    folder.mkdir()
    data = request(code, trialJobSpec={"baseOutputDirectory": {"outputUriPrefix": "gs://bucket/out/"}})
    data["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]["env"] = [{"name": "SEEN", "value": str(folder)}]
    shared.run(data)
    assert [(folder / n).read_text() for n in "12"] == ["gs://bucket/out/1/model/", "gs://bucket/out/2/model/"]


# Lists


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"),
        ('display_name="b"', "b"),
        ('displayName="b" OR displayName="c"', "bc"),
        ("labels.team=ads AND NOT display_name=a", "b"),
        ('labels.team="ads"', "ab"),
        ("labels.team:*", "ab"),
        ('state="JOB_STATE_RUNNING"', "abc"),
        ('state!="JOB_STATE_RUNNING"', ""),
        ('create_time>"2020-01-01T00:00:00Z"', "abc"),
        ('display_name:"*"', "abc"),
        ('display_name:"B*" OR display_name:"*c"', "bc"),
        ('display_name:"*b*c*"', ""),
        ('labels.team:"a*s"', "ab"),
        ('NOT display_name:"a*"', "bc"),
    ],
)
def test_filters(query: str, expected: str) -> None:
    jobs = [
        {"displayName": "a", "labels": {"team": "ads"}, "state": "JOB_STATE_RUNNING", "createTime": "2026-01-01T00:00:00Z"},
        {"displayName": "b", "labels": {"team": "ads"}, "state": "JOB_STATE_RUNNING", "createTime": "2026-01-01T00:00:00Z"},
        {"displayName": "c", "state": "JOB_STATE_RUNNING", "createTime": "2026-01-01T00:00:00Z"},
    ]  # fmt: skip
    holds = compiled(query)
    assert "".join(job["displayName"] for job in jobs if holds(job)) == expected


def test_the_version_v1beta1_has_the_same_jobs(shared: Used) -> None:
    from google.cloud import aiplatform_v1beta1 as beta
    from google.cloud.aiplatform_v1beta1.services.job_service.transports import grpc as beta_transport

    made = shared.create(request("pass"))
    options = ClientOptions(api_endpoint=shared.emulator.url)
    over_rest = beta.JobServiceClient(
        transport="rest", credentials=AnonymousCredentials(), client_options=options
    )  # let in by the address alone
    both = grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), grpc.access_token_call_credentials(shared.emulator.credentials.token)
    )
    over_grpc = beta.JobServiceClient(
        transport=beta_transport.JobServiceGrpcTransport(channel=grpc.secure_channel(shared.emulator.target, both))
    )
    for client in (over_rest, over_grpc):
        job = client.get_hyperparameter_tuning_job(name=made)
        assert type(job) is beta.HyperparameterTuningJob
        assert (job.name, job.study_spec.metrics[0].metric_id) == (made, "loss")
        again = beta.HyperparameterTuningJob(
            display_name="again",
            study_spec=job.study_spec,
            trial_job_spec=job.trial_job_spec,
            max_trial_count=1,
            parallel_trial_count=1,
        )
        copy = client.create_hyperparameter_tuning_job(parent=shared.emulator.parent, hyperparameter_tuning_job=again)
        shared.emulator.wait(copy.name, 60)
        client.delete_hyperparameter_tuning_job(name=copy.name).result()


@pytest.mark.parametrize("query", ['display_name="a" AND', "(a=b", '"', "=x"])
def test_a_filter_that_cannot_be_read_is_refused(query: str, shared: Used) -> None:
    with pytest.raises(BadQuery):
        compiled(query)
    with pytest.raises(exceptions.BadRequest):
        list(shared.client.list_custom_jobs(request={"parent": shared.emulator.parent, "filter": query}))


def test_what_is_not_there_is_told_as_the_service_does(shared: Used) -> None:
    name = f"{shared.emulator.parent}/hyperparameterTuningJobs/1"
    for call in (
        shared.client.get_hyperparameter_tuning_job,
        shared.client.cancel_hyperparameter_tuning_job,
        shared.client.delete_hyperparameter_tuning_job,
    ):
        with pytest.raises(exceptions.NotFound, match="hyperparameterTuningJobs/1"):
            call(name=name)
    with pytest.raises(exceptions.GoogleAPICallError, match="the emulator"):
        shared.client.list_batch_prediction_jobs(parent=shared.emulator.parent)
    answer = shared.http.post(f"{shared.emulator.url}/v1/{shared.emulator.parent}/customJobs", json={"display": 1})
    assert answer.status_code == 400
    assert "display" in answer.json()["error"]["message"]


def test_projects_and_locations_are_apart(shared: Used) -> None:
    other = "projects/other/locations/europe-west4"
    message = v1.CustomJob.from_json(json.dumps({"displayName": "x", "jobSpec": request("pass")["trialJobSpec"]}))
    made = shared.client.create_custom_job(parent=other, custom_job=message)
    assert made.name.startswith(f"{other}/customJobs/")
    assert [job.name for job in shared.client.list_custom_jobs(parent=other)] == [made.name]
