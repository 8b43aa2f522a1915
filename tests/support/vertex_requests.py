"""Generated requests for tuning jobs of Vertex AI, as other clients write them in JSON."""

from typing import Any

from hypothesis import strategies as st

KEY = "projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key"

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
texts = st.sampled_from(["adam", '"sgd"', "1", "0.5", "true", "[64, 32]", "größer", "a b", '{"a": 1}', "1e-3"])
NOTHING: dict[str, Any] = {}


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


@st.composite
def parameter(draw: st.DrawFn, name: str, depth: int = 0) -> dict[str, Any]:
    kind = draw(st.sampled_from(["double", "integer", "categorical", "discrete"]))
    scales = st.sampled_from(["UNIT_LINEAR_SCALE", "UNIT_LOG_SCALE", "UNIT_REVERSE_LOG_SCALE"])
    found: dict[str, Any] = {"parameterId": name}
    if kind == "double":
        low = draw(st.sampled_from([1e-5, 0.25, 1.0]))
        found |= {"doubleValueSpec": {"minValue": low, "maxValue": 2.5, **draw(optional(defaultValue=st.just(2.0)))}}
    elif kind == "integer":
        found |= {"integerValueSpec": {"minValue": draw(st.sampled_from([1, "2"])), "maxValue": draw(st.sampled_from([9, "64"]))}}  # fmt: skip
    elif kind == "discrete":
        found |= {"discreteValueSpec": {"values": draw(st.sampled_from([[1, 2, 4], [0.5, 1.5], [8]]))}}
    else:
        found |= {"categoricalValueSpec": {"values": draw(st.lists(texts, min_size=1, max_size=4, unique=True))}}
    if kind != "categorical":
        found |= draw(optional(scaleType=scales))
    if depth < 2 and kind != "double" and draw(st.booleans()):
        condition = {"integer": "parentIntValues", "discrete": "parentDiscreteValues", "categorical": "parentCategoricalValues"}[kind]  # fmt: skip
        values = [5] if kind == "integer" else found[f"{kind}ValueSpec"]["values"][:2]
        child = draw(parameter(f"{name}_in", depth + 1))
        found["conditionalParameterSpecs"] = [{"parameterSpec": child, condition: {"values": values}}]
    return found


def pools() -> st.SearchStrategy[list[dict[str, Any]]]:
    machine = st.sampled_from(
        [
            {"machineType": "n1-standard-4"},
            {"machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 2},
            {"machineType": "a3-highgpu-8g", "acceleratorType": "NVIDIA_H100_80GB", "acceleratorCount": 8, "reservationAffinity": {"reservationAffinityType": "ANY_RESERVATION"}},
            {"machineType": "cloud-tpu", "acceleratorType": "TPU_V3", "acceleratorCount": 8, "tpuTopology": "2x2"},
        ]
    )  # fmt: skip
    env = st.sampled_from([[], [{"name": "TOKEN", "value": "visible"}, {"name": "B", "value": ""}]])
    container = st.builds(
        lambda more: {"containerSpec": {"imageUri": "own/image:1", **more}},
        optional(
            command=st.just(["python", "train.py"]), args=st.sampled_from([[], ["--epochs=3", "--k", "v"]]), env=env
        ),
    )
    package = st.builds(
        lambda more: {"pythonPackageSpec": {"executorImageUri": "executor:1", "packageUris": ["gs://b/a.tar.gz"], "pythonModule": "trainer.task", **more}},
        optional(args=st.just(["--epochs=3"]), env=env),
    )  # fmt: skip
    one = st.builds(
        lambda machine, program, more: {"machineSpec": machine, "replicaCount": 1, **program, **more},
        machine,
        container | package,
        optional(diskSpec=st.just({"bootDiskType": "pd-ssd", "bootDiskSizeGb": 200}), nfsMounts=st.just([{"server": "10.0.0.1", "path": "/x", "mountPoint": "/mnt/x"}])),
    )  # fmt: skip
    further = st.builds(lambda pool, count: {**pool, "replicaCount": count}, one, st.integers(1, 3))
    return st.builds(
        lambda first, others: [first, *others], one, st.lists(st.one_of(further, st.just(NOTHING)), max_size=3)
    )


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    unique = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    metric = st.builds(
        lambda goal, more: {"goal": goal, **more},
        st.sampled_from(["MAXIMIZE", "MINIMIZE"]),
        optional(safetyConfig=st.just({"safetyThreshold": 0.5, "desiredMinSafeTrialsFraction": 0.25})),
    )
    metrics = [{"metricId": f"m{n}", **each} for n, each in enumerate(draw(st.lists(metric, min_size=1, max_size=2)))]
    parameters = [draw(parameter(f"{name}.{n}")) for n, name in enumerate(unique)]
    stopping = st.sampled_from(
        [{"medianAutomatedStoppingSpec": {}}, {"medianAutomatedStoppingSpec": {"useElapsedDuration": True}}, {"decayCurveStoppingSpec": {}},
         {"convexAutomatedStoppingSpec": {"maxStepCount": "50", "learningRateParameterName": "lr"}}, {}]
    )  # fmt: skip
    study = {
        "metrics": metrics,
        "parameters": parameters,
        **draw(stopping),
        **draw(
            optional(
                algorithm=st.sampled_from(["RANDOM_SEARCH", "ALGORITHM_UNSPECIFIED"]),
                measurementSelectionType=st.sampled_from(["BEST_MEASUREMENT", "LAST_MEASUREMENT"]),
                observationNoise=st.sampled_from(["LOW", "HIGH"]),
                studyStoppingConfig=st.sampled_from(
                    [{"maxNumTrialsNoProgress": 5}, {"shouldStopAsap": True, "maximumRuntimeConstraint": {"maxDuration": "3600s"}}]
                ),
            )
        ),
    }  # fmt: skip
    scheduling = st.sampled_from(
        [{"timeout": "3600s"}, {"timeout": "0.5s", "strategy": "SPOT"}, {"strategy": "FLEX_START", "maxWaitDuration": "1800s"},
         {"restartJobOnWorkerRestart": True, "disableRetries": True}]
    )  # fmt: skip
    spec = {
        "workerPoolSpecs": draw(pools()),
        **draw(
            optional(
                scheduling=scheduling,
                serviceAccount=st.just("a@b.iam.gserviceaccount.com"),
                network=st.just("projects/1/global/networks/n"),
                reservedIpRanges=st.just(["range"]),
                baseOutputDirectory=st.just({"outputUriPrefix": "gs://bucket/out"}),
                persistentResourceId=st.just("mine"),
                enableWebAccess=st.just(True),
                enableDashboardAccess=st.just(True),
            )
        ),
    }
    return {
        "displayName": draw(st.sampled_from(["simple", "Größer: ein Versuch", "x" * 100])),
        "studySpec": study,
        "maxTrialCount": draw(st.integers(1, 30)),
        "parallelTrialCount": draw(st.integers(1, 40)),
        "trialJobSpec": spec,
        **draw(
            optional(
                maxFailedTrialCount=st.integers(0, 5),
                labels=st.just({"team": "ads", "größe": ""}),
                encryptionSpec=st.just({"kmsKeyName": KEY}),
            )
        ),
    }
