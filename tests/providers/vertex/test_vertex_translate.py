"""From jobs to Vertex AI's messages: what each field becomes, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import HealthCheck, given, settings

from cloudtune import TuningJob, api
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.planning.plan import Beside, Plan, Support, covers, leaves
from cloudtune.testing.carried import unfounded
from cloudtune.testing.specs import jobs
from cloudtune_vertex import schema_update
from cloudtune_vertex.rules import problems
from cloudtune_vertex.schema import normal
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.translate import translate

PROFILE = VertexSettings(project="project", bucket="bucket", image="profile/image:1")
NETWORK = "projects/12345/global/networks/mine"
KEY = "projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key"


def plan_of(**fields: Any) -> Plan:
    data = {
        "name": "digits-svc",
        "trial": {"image": "own/image:1", **fields.pop("trial", {"command": "python train.py"})},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.5, "high": 1.5}},
        "limits": {"trials": 20, **fields.pop("limits", {})},
        **fields,
    }
    return translate(TuningJob.from_data(data), PROFILE)


def study(plan: Plan) -> Any:
    return plan.request["studySpec"]


def pool(plan: Plan, number: int = 0) -> Any:
    return plan.request["trialJobSpec" if plan.mode == "managed" else "jobSpec"]["workerPoolSpecs"][number]


def test_every_field_reaches_its_member() -> None:
    plan = plan_of(
        trial={"command": "python train.py", "environment": {"A": "1"}},
        strategy={"type": "random"},
        stopping={"type": "median"},
        limits={"trials": 20, "parallel": 4, "time": "2h", "trial_time": "20m", "failed": 3, "no_improvement": 5},
        compute={"instance": "a2-highgpu-1g", "count": 3, "disk": "200GB", "spot": True, "accelerators": {"type": "nvidia-tesla-a100", "count": 1}},
        data={"train": "gs://bucket/train", "test": "./here"},
        output="gs://bucket/out",
        network={"name": NETWORK},
        identity="trainer@project.iam.gserviceaccount.com",
        encryption={"key": KEY, "volume_key": KEY},
        tags={"team": "ads"},
        metrics={"accuracy": "acc: ([0-9.]+)"},
        vertex={
            "trialJobSpec": {
                "enableWebAccess": True,
                "tensorboard": "projects/1/locations/us-central1/tensorboards/2",
                "reservedIpRanges": ["range"],
                "scheduling": {"restartJobOnWorkerRestart": True},
                "workerPoolSpecs": [{"machineSpec": {"reservationAffinity": {"reservationAffinityType": "ANY_RESERVATION"}}, "diskSpec": {"bootDiskType": "pd-standard"}}],
            },
            "studySpec": {"observationNoise": "HIGH"},
        },
    )  # fmt: skip
    plan.refuse()
    assert plan.mode == "managed"
    made: Any = plan.request
    assert problems(made) == []
    assert {name: made[name] for name in ("displayName", "maxTrialCount", "parallelTrialCount", "maxFailedTrialCount", "labels", "encryptionSpec")} == {
        "displayName": "digits-svc",
        "maxTrialCount": 20,
        "parallelTrialCount": 4,
        "maxFailedTrialCount": 3,
        "labels": {"team": "ads"},
        "encryptionSpec": {"kmsKeyName": KEY},
    }  # fmt: skip
    assert study(plan) == {
        "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
        "parameters": [{"parameterId": "x", "doubleValueSpec": {"minValue": 0.5, "maxValue": 1.5}, "scaleType": "UNIT_LINEAR_SCALE"}],
        "algorithm": "RANDOM_SEARCH",
        "measurementSelectionType": "LAST_MEASUREMENT",
        "medianAutomatedStoppingSpec": {},
        "studyStoppingConfig": {"maximumRuntimeConstraint": {"maxDuration": "7200s"}, "maxNumTrialsNoProgress": 5},
        "observationNoise": "HIGH",
    }  # fmt: skip
    spec = dict(made["trialJobSpec"])
    chief, workers = spec.pop("workerPoolSpecs")
    assert spec == {
        "scheduling": {"timeout": "1200s", "strategy": "SPOT", "restartJobOnWorkerRestart": True},
        "serviceAccount": "trainer@project.iam.gserviceaccount.com",
        "network": NETWORK,
        "baseOutputDirectory": {"outputUriPrefix": "gs://bucket/out/${run}"},
        "enableWebAccess": True,
        "tensorboard": "projects/1/locations/us-central1/tensorboards/2",
        "reservedIpRanges": ["range"],
    }
    assert chief["machineSpec"] == {
        "machineType": "a2-highgpu-1g",
        "acceleratorType": "NVIDIA_TESLA_A100",
        "acceleratorCount": 1,
        "reservationAffinity": {"reservationAffinityType": "ANY_RESERVATION"},
    }
    assert chief["diskSpec"] == {"bootDiskSizeGb": 200, "bootDiskType": "pd-standard"}
    assert (chief["replicaCount"], workers["replicaCount"]) == (1, 2)
    container = chief["containerSpec"]
    assert container["imageUri"] == "own/image:1"
    assert "bucket/cloudtune/${code}/trial.py" in container["command"][2]
    values = {each["name"]: each["value"] for each in container["env"]}
    assert values["A"] == "***"
    assert values["CLOUDTUNE_DATA_TRAIN"] == "gs://bucket/train"
    assert values["CLOUDTUNE_DATA_TEST"] == "gs://bucket/cloudtune/data/${data:test}"
    assert values["CLOUDTUNE_CODE"] == "gs://bucket/cloudtune/${code}"


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({"type": "float", "low": 1e-5, "high": 1, "scale": "log"}, {"doubleValueSpec": {"minValue": 1e-5, "maxValue": 1.0}, "scaleType": "UNIT_LOG_SCALE"}),
        ({"type": "float", "low": 0, "high": 1, "step": 0.25}, {"discreteValueSpec": {"values": [0.0, 0.25, 0.5, 0.75, 1.0]}, "scaleType": "UNIT_LINEAR_SCALE"}),
        ({"type": "float", "low": 0, "high": 1, "step": 0.0005}, {"integerValueSpec": {"minValue": 0, "maxValue": 2000}, "scaleType": "UNIT_LINEAR_SCALE"}),
        ({"type": "int", "low": 1, "high": 64, "scale": "log"}, {"integerValueSpec": {"minValue": 1, "maxValue": 64}, "scaleType": "UNIT_LOG_SCALE"}),
        ({"type": "int", "low": 1, "high": 9, "step": 2}, {"discreteValueSpec": {"values": [1.0, 3.0, 5.0, 7.0, 9.0]}, "scaleType": "UNIT_LINEAR_SCALE"}),
        ({"type": "ordinal", "values": [8, 16, 32], "scale": "log"}, {"discreteValueSpec": {"values": [8.0, 16.0, 32.0]}, "scaleType": "UNIT_LOG_SCALE"}),
        ({"type": "ordinal", "values": ["low", "high"]}, {"integerValueSpec": {"minValue": 0, "maxValue": 1}, "scaleType": "UNIT_LINEAR_SCALE"}),
        ({"type": "categorical", "values": ["a", "b"]}, {"categoricalValueSpec": {"values": ["a", "b"]}}),
        ({"type": "categorical", "values": [1, 2.5]}, {"categoricalValueSpec": {"values": ["1", "2.5"]}}),
        ({"type": "categorical", "values": ["a", True, None]}, {"categoricalValueSpec": {"values": ['"a"', "true", "null"]}}),
    ],
)  # fmt: skip
def test_every_kind_of_parameter_has_its_spec(parameter: dict[str, Any], expected: dict[str, Any]) -> None:
    plan = plan_of(space={"x": parameter})
    assert study(plan)["parameters"] == [{"parameterId": "x", **expected}]
    assert problems(plan.request) == []


def test_a_reverse_logarithm_is_ours_and_not_the_services() -> None:
    """The service's UNIT_REVERSE_LOG_SCALE mirrors the bounds and needs them above 0; ours is -log(1 - x)."""
    plan = plan_of(space={"x": {"type": "float", "low": 0, "high": 0.99, "scale": "reverse_log"}})
    (spec,) = study(plan)["parameters"]
    assert spec["scaleType"] != "UNIT_REVERSE_LOG_SCALE"
    assert plan.support("space.x") is Support.ENCODED


def test_what_does_not_vary_is_an_argument() -> None:
    plan = plan_of(space={"x": {"type": "int", "low": 1, "high": 5}, "a": {"type": "constant", "value": "text"}, "b": {"type": "constant", "value": True}})  # fmt: skip
    assert pool(plan)["containerSpec"]["args"] == ["--a=text", "--b=true"]


def test_conditions_are_nested_where_one_parent_decides() -> None:
    space = {
        "model": {"type": "categorical", "values": ["tree", "line", "none"]},
        "depth": {"type": "int", "low": 1, "high": 5, "when": {"model": "tree"}},
        "rate": {"type": "float", "low": 0.1, "high": 0.9, "when": {"model": ["line", "none"]}},
        "leaf": {"type": "float", "low": 0, "high": 1, "when": {"depth": [2, 3]}},
        "both": {"type": "float", "low": 0, "high": 1, "when": {"model": "tree", "other": 1}},
        "other": {"type": "ordinal", "values": [1, 2]},
    }
    plan = plan_of(space=space)
    plan.refuse()
    roots = {each["parameterId"]: each for each in study(plan)["parameters"]}
    assert set(roots) == {"model", "both", "other"}
    first, second = roots["model"]["conditionalParameterSpecs"]
    assert first["parentCategoricalValues"] == {"values": ["tree"]}
    assert first["parameterSpec"]["conditionalParameterSpecs"][0]["parentIntValues"] == {"values": [2, 3]}
    assert second["parentCategoricalValues"] == {"values": ["line", "none"]}
    said = {note.path: note for note in plan.notes}
    assert "always sampled" in said["space.both"].message
    assert problems(plan.request) == []


def test_a_grid_has_lists_and_ends_by_itself() -> None:
    plan = plan_of(strategy={"type": "grid", "levels": 3}, space={"x": {"type": "float", "low": 0, "high": 1}, "k": {"type": "int", "low": 1, "high": 2}}, limits={"trials": None})  # fmt: skip
    plan.refuse()
    assert plan.mode == "managed"
    assert (plan.request["maxTrialCount"], study(plan)["algorithm"]) == (6, "GRID_SEARCH")
    assert study(plan)["parameters"][0]["discreteValueSpec"] == {"values": [0.0, 0.5, 1.0]}


def test_several_objectives_are_several_metrics() -> None:
    plan = plan_of(objective=[{"metric": "val loss", "goal": "minimize"}, {"metric": "gain", "goal": "maximize"}])
    plan.refuse()
    assert plan.mode == "managed"
    assert study(plan)["metrics"] == [
        {"metricId": "val_loss", "goal": "MINIMIZE"},
        {"metricId": "gain", "goal": "MAXIMIZE"},
    ]
    assert plan.support("objective[0].metric") is Support.ENCODED


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"strategy": {"type": "sobol"}}, "strategy"),
        ({"strategy": {"type": "evolutionary"}}, "strategy"),
        ({"strategy": {"type": "hyperband", "max_resource": 9}}, "strategy"),
        ({"strategy": {"type": "bayesian", "startup": 3}}, "strategy.startup"),
        ({"stopping": {"type": "bandit", "slack_factor": 0.1}}, "stopping"),
        ({"retries": 1}, "retries"),
        ({"first": [{"x": 1}]}, "first"),
        ({"warm_start": {"runs": ["before"]}}, "warm_start"),
        ({"objective": [{"metric": "a", "goal": "minimize"}, {"metric": "b", "goal": "minimize", "measurement": "best"}]}, "objective"),
        ({"strategy": {"type": "grid"}, "space": {"m": {"type": "categorical", "values": ["a", "b"]}, "k": {"type": "int", "low": 1, "high": 2, "when": {"m": "a"}}}}, "strategy"),
        ({"trial": {}, "space": {"x": {"type": "normal", "mean": 0, "std": 1}}}, "space.x"),
    ],
)  # fmt: skip
def test_what_the_tuner_cannot_do_is_driven_unless_it_must_be_managed(fields: dict[str, Any], path: str) -> None:
    plan = plan_of(**fields)
    plan.refuse()
    assert plan.mode == "driven"
    assert plan.support(path) is Support.DRIVEN
    assert problems(plan.request, "CustomJob") == []
    with pytest.raises(UnsupportedError, match=path.replace("[", r"\[")):
        plan_of(**fields, mode="managed").refuse()


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"compute": {"accelerators": {"type": "nvidia-tesla-t5", "count": 1}}}, "compute.accelerators", "did you mean 'NVIDIA_TESLA_T4'"),
        ({"compute": {"instance": "n1-standard-8", "accelerators": "NVIDIA_TESLA_T4:0.5"}}, "compute.accelerators.count", "whole accelerators"),
        ({"network": {"name": "default"}}, "network.name", "projects/NUMBER/global/networks/NAME"),
        ({"network": {"isolated": True}}, "network.isolated", "VPC Service Controls"),
        ({"encryption": {"key": "alias/key"}}, "encryption.key", "cryptoKeys"),
        ({"data": {"train": "s3://b/c"}}, "data.train", "gs://"),
        ({"output": "s3://b/c"}, "output", "gs://"),
        ({"trial": {"command": "x", "environment": {f"V{index}": "1" for index in range(101)}}}, "trial.environment", "100"),
        ({"trial": {"command": "x", "environment": {"not-c": "1"}}}, "trial.environment", "C identifier"),
        ({"vertex": {"trialJobSpecs": {}}}, "vertex.trialJobSpecs", "did you mean 'trialJobSpec'"),
        ({"vertex": {"trialJobSpec": {"scheduling": {"strategy": "SPOTT"}}}}, "vertex.trialJobSpec", "did you mean 'SPOT'"),
        ({"vertex": {"studySpec": {"metrics": [{"metricId": "loss", "safetyConfig": {"desiredMinSafeTrialsFraction": 2}}]}}}, "", "between 0 and 1"),
        ({"vertex": {"trialJobSpec": {"tensorboard": "t"}}}, "vertex.trialJobSpec", "serviceAccount"),
        ({"vertex": {"maxTrialCount": 0}}, "vertex.maxTrialCount", "1 or more"),
    ],
)  # fmt: skip
def test_what_the_service_would_refuse_is_refused_at_its_place(fields: dict[str, Any], path: str, says: str) -> None:
    plan = plan_of(**fields)
    with pytest.raises(UnsupportedError) as refused:
        plan.refuse()
    messages = {problem.path: problem.message for problem in refused.value.problems}
    assert [message for place, message in messages.items() if place.startswith(path) and says in message], messages


def test_tags_become_labels() -> None:
    plan = plan_of(tags={"Cost Center": "R&D", "ok": "fine"})
    plan.refuse()
    assert plan.request["labels"]["ok"] == "fine"
    assert plan.support("tags.Cost Center") is Support.APPROXIMATE
    assert problems(plan.request) == []


def test_watched_limits_are_said_to_be_watched() -> None:
    plan = plan_of(limits={"target": 0.1, "time": "30s", "no_improvement": 2})
    paths = ("limits.target", "limits.time", "limits.no_improvement")
    assert {path: plan.support(path) for path in paths} == dict.fromkeys(paths, Support.WATCHED)


def test_a_seed_that_the_service_has_not_is_told() -> None:
    plan = plan_of(strategy={"type": "random", "seed": 3})
    assert plan.support("strategy.seed") is Support.APPROXIMATE
    assert plan_of(strategy={"type": "random", "seed": 3}, mode="driven").support("strategy.seed") is Support.EXACT


@given(jobs())
@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
def test_every_leaf_of_a_job_is_accounted_for_and_the_message_is_valid_or_refused(job: TuningJob) -> None:
    plan = translate(job, PROFILE)
    assert [path for path, _ in leaves(job) if plan.support(path) is None] == []
    refused = any(note.support is Support.UNSUPPORTED for note in plan.notes)
    if not refused:
        assert problems(plan.request, "HyperparameterTuningJob" if plan.mode == "managed" else "CustomJob") == []
    for path, target in plan.carried.items():
        if target in tuple(Beside):
            continue
        if target and any(covers(path, leaf) for leaf, _ in leaves(job)):
            assert _reached(plan.request, target), (path, target)


@pytest.mark.parametrize(
    ("parent", "held", "sent", "support"),
    [
        ({"type": "ordinal", "values": ["a", "b", "-x"]}, ["b", "-x"], {"parentIntValues": {"values": [1, 2]}}, Support.ENCODED),
        ({"type": "ordinal", "values": [1, 2.5]}, [2.5], {"parentDiscreteValues": {"values": [2.5]}}, Support.EXACT),
        ({"type": "categorical", "values": ["a", "b"]}, ["b"], {"parentCategoricalValues": {"values": ["b"]}}, Support.EXACT),
        ({"type": "categorical", "values": ["a", True]}, [True], {"parentCategoricalValues": {"values": ["true"]}}, Support.ENCODED),
        ({"type": "int", "low": 1, "high": 9}, [2, 3], {"parentIntValues": {"values": [2, 3]}}, Support.EXACT),
    ],
)  # fmt: skip
def test_a_condition_on_values_that_travel_otherwise_is_no_exact_one(
    parent: dict[str, Any], held: list[Any], sent: dict[str, Any], support: Support
) -> None:
    data = {
        "name": "j",
        "trial": {"image": "i", "command": "python t.py"},
        "objective": {"metric": "m", "goal": "maximize"},
        "space": {"p": parent, "x": {"type": "float", "low": 0, "high": 1, "when": {"p": held}}},
        "limits": {"trials": 3},
    }
    job = TuningJob.from_data(data)
    plan = translate(job, PROFILE)
    child = plan.request["studySpec"]["parameters"][0]["conditionalParameterSpecs"][0]  # type: ignore[index,call-overload]
    assert {key: value for key, value in child.items() if key in sent} == sent  # type: ignore[union-attr]
    assert plan.support("space.x.when.p") is support
    assert plan.support("space.x.low") is Support.EXACT
    assert unfounded(lambda each: translate(each, PROFILE), job) == []


def _reached(node: Any, target: str) -> bool:
    """Whether a path, whose keys may have dots, leads somewhere."""
    if not target:
        return True
    if isinstance(node, dict):
        ways = (key for key in node if target == key or target.startswith((f"{key}.", f"{key}[")))
        return any(_reached(node[key], target[len(key) :].removeprefix(".")) for key in ways)
    index, _, rest = target[1:].partition("]")
    within = isinstance(node, list | tuple) and index.isdecimal() and int(index) < len(node)
    return within and _reached(node[int(index)], rest.removeprefix("."))


@given(jobs())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
def test_the_sdk_takes_every_message(job: TuningJob) -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    v1 = pytest.importorskip("google.cloud.aiplatform_v1")
    plan = translate(job, PROFILE)
    if not any(note.support is Support.UNSUPPORTED for note in plan.notes):
        kind = v1.HyperparameterTuningJob if plan.mode == "managed" else v1.CustomJob
        json_format.ParseDict(plan.request, kind.pb()())


def test_the_fields_that_are_written_down_are_those_of_the_sdk() -> None:
    pytest.importorskip("google.cloud.aiplatform_v1")
    written, installed = schema_update.written(), schema_update.of_sdk()
    assert written.enums == {name: installed.enums[name] for name in written.enums}
    assert replace(written, version=installed.version) == installed, (
        "python -m cloudtune_vertex.schema_update writes them anew"
    )


UNKNOWN = """\
import json, sys
from cloudtune.cli.app import run_app
code = run_app(["import", "job.json", "--from", "vertex"])
print(code, sorted(name for name in sys.modules if name.startswith(("google.cloud.", "google.protobuf"))))
"""


def test_a_field_that_no_one_knows_is_refused_without_the_sdk(tmp_path: Path) -> None:
    """Only a newer SDK than the one whose fields are written down may know more, and is asked."""
    message = {"displayName": "j", "studySpec": {"metrics": [], "parametrs": []}, "trialJobSpec": {}}
    (tmp_path / "job.json").write_text(json.dumps(message))
    done = subprocess.run(
        [sys.executable, "-c", UNKNOWN], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split(maxsplit=1) == ["2", "[]\n"], done.stderr
    assert "studySpec.parametrs: is no field here; did you mean 'parameters'?" in done.stderr


@pytest.mark.parametrize(
    ("installed", "asked"),
    [("0.0", False), ("SAME", False), ("SAMErc1", False), ("999.1.2", True), ("", False)],
)
def test_an_sdk_is_asked_only_where_it_is_newer(installed: str, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if not installed:
            raise schema_update.metadata.PackageNotFoundError(name)
        return installed.replace("SAME", schema_update.written().version)

    monkeypatch.setattr(schema_update.metadata, "version", version)
    fields = {**schema_update.written().messages["StudySpec"], "brandNew": schema_update.Field("string")}
    messages = {**schema_update.written().messages, "StudySpec": fields}
    monkeypatch.setattr(schema_update, "of_sdk", lambda: replace(schema_update.written(), messages=messages))
    form, violations = normal({"studySpec": {"brandNew": "x"}})
    assert (form["studySpec"] == {"brandNew": "x"}) is asked
    assert bool(violations) is not asked


def test_a_setting_that_there_is_not_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'bucket'"):
        VertexSettings.of({"buckett": "x"}, "vertex")
    with pytest.raises(ConfigError, match="transport"):
        VertexSettings.of({"transport": "pigeon"}, "vertex")
    assert VertexSettings.of({"poll": "0.5", "project": ""}, "vertex") == VertexSettings(poll=0.5)


def test_a_plan_from_the_command_line_loads_no_client(tmp_path: Path) -> None:
    job = TuningJob.from_data({"name": "a", "trial": {"command": "x"}, "objective": {"metric": "m", "goal": "minimize"}, "space": {"x": {"type": "int", "low": 1, "high": 3}}, "limits": {"trials": 1}})  # fmt: skip
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    script = (
        "import sys; from cloudtune.cli.app import run_app; code = run_app(['plan', 'job.yaml', '--on', 'gcp', '--json']);"
        "loaded = {'google.api_core', 'google.auth', 'google.protobuf', 'grpc', 'proto', 'requests'} & set(sys.modules);"
        "assert not loaded, loaded; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr  # nobody gave an image
    assert json.loads(done.stdout)["mode"] == "managed"
    assert "trial.image" in done.stderr


def test_the_profile_gives_what_the_job_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text('[profiles.team]\nprovider = "vertex"\nimage = "team:1"\nmachine = "n2-standard-8"\nservice_account = "a@b.iam.gserviceaccount.com"\nbucket = "team"\n')  # fmt: skip
    job = TuningJob.from_data({"name": "a_b", "trial": {"command": "x"}, "objective": {"metric": "m", "goal": "minimize"}, "space": {"x": {"type": "int", "low": 1, "high": 3}}, "limits": {"trials": 1}})  # fmt: skip
    plan = api.plan(job, "team", project=tmp_path)
    plan.refuse()
    assert pool(plan)["containerSpec"]["imageUri"] == "team:1"
    assert pool(plan)["machineSpec"] == {"machineType": "n2-standard-8"}
    spec: Any = plan.request["trialJobSpec"]
    assert spec["serviceAccount"] == "a@b.iam.gserviceaccount.com"
    assert spec["baseOutputDirectory"] == {"outputUriPrefix": "gs://team/cloudtune/output/${run}"}


def test_constraints_are_safety_metrics_where_these_mean_the_same() -> None:
    fast, good = {"metric": "latency", "max": "50ms"}, {"metric": "top 5", "min": 0.9}
    plan = plan_of(constraints=[fast, good])
    assert plan.mode == "managed"
    assert study(plan)["metrics"] == [
        {"metricId": "loss", "goal": "MINIMIZE"},
        {"metricId": "latency", "goal": "MINIMIZE", "safetyConfig": {"safetyThreshold": 0.05}},
        {"metricId": "top_5", "goal": "MAXIMIZE", "safetyConfig": {"safetyThreshold": 0.9}},
    ]
    assert plan.support("constraints[1].min") is Support.UNCHECKED
    assert any("compared with latency in seconds, as 0.05" in note.message for note in plan.notes)


@pytest.mark.parametrize(
    ("constraint", "objective", "why"),
    [
        ({"metric": "latency", "max": 1, "min": 0}, {}, "one threshold"),
        ({"metric": "loss", "max": 1}, {}, "is no objective"),
        ({"metric": "latency", "max": 1}, {"measurement": "best"}, "best in the objective"),
    ],
)
def test_other_constraints_are_driven_and_refused_of_a_managed_run(
    constraint: dict[str, Any], objective: dict[str, str], why: str
) -> None:
    aim = {"metric": "loss", "goal": "minimize", **objective}
    driven = plan_of(constraints=constraint, objective=aim)
    assert driven.mode == "driven"
    assert any(note.support is Support.DRIVEN and why in note.message for note in driven.notes)
    managed = plan_of(constraints=constraint, objective=aim, mode="managed")
    assert any(note.support is Support.UNSUPPORTED and why in note.message for note in managed.notes)
