"""Generated files of sweeps of Azure Machine Learning, by its v2 schema."""

from typing import Any

from hypothesis import strategies as st

LOG_BY_REST = """
def log(key, value, step=0):
    import json, os, ssl, time, urllib.request
    about = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "step": step, "timestamp": int(1000 * time.time())}
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
    trust = ssl.create_default_context(cafile=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"])
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(about).encode(), headers), context=trust).close()
"""
"""A function for scripts that logs a metric to the job's run, without MLflow's package, whose import takes seconds."""

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
texts = st.sampled_from(["adam", '"sgd"', "1", "0.5", "true", "[64, 32]", "größer", "a b", "it's"])
numbers = st.sampled_from([0, 1, 0.5, 1e-3])


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


def expressions(depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    plain = [
        st.builds(lambda kind, low: {"type": kind, "min_value": low, "max_value": low + 2}, st.sampled_from(["uniform", "loguniform"]), numbers),
        st.builds(lambda kind, q: {"type": kind, "min_value": 1, "max_value": 9, "q": q}, st.sampled_from(["quniform", "qloguniform"]), st.sampled_from([1, 2, 0.5])),
        st.builds(lambda kind: {"type": kind, "mu": 1, "sigma": 0.5}, st.sampled_from(["normal", "lognormal"])),
        st.builds(lambda kind: {"type": kind, "mu": 10, "sigma": 3, "q": 1}, st.sampled_from(["qnormal", "qlognormal"])),
        st.builds(lambda upper: {"type": "randint", "upper": upper}, st.integers(1, 99)),
        st.builds(lambda values: {"type": "choice", "values": values}, st.lists(texts, min_size=1, max_size=4, unique=True)),
        st.builds(lambda values: {"type": "choice", "values": values}, st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True)),
    ]  # fmt: skip
    if depth:
        return st.one_of(plain)
    branch = st.builds(lambda name, inner: {"name": name, **inner}, st.sampled_from(["adam", "a b", "true"]), st.dictionaries(st.sampled_from(["inner_a", "inner_b"]), expressions(1), max_size=2))  # fmt: skip
    branches = st.builds(lambda values: {"type": "choice", "values": values}, st.lists(branch, min_size=1, max_size=3, unique_by=lambda one: one["name"]))  # fmt: skip
    return st.one_of(*plain, branches)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    space = draw(st.dictionaries(names, expressions(), min_size=1, max_size=4))
    inputs = draw(optional(data=st.sampled_from([{"type": "uri_folder", "path": "azureml:data:1", "mode": "ro_mount"}, {"path": "./local"}]), epochs=st.integers(1, 9), note=st.just("a b")))  # fmt: skip
    places = [f"--{name} ${{{{search_space.{name}}}}}" for name in space]
    places += [f"--{name} ${{{{ inputs.{name} }}}}" for name in inputs]
    environment = st.sampled_from(["azureml:own@latest", {"image": "own:1", "conda_file": "conda.yml"}, {"image": "own:1"}])  # fmt: skip
    trial = {
        "command": " ".join(["python train.py", *places]),
        "environment": draw(environment),
        **draw(
            optional(
                code=st.sampled_from(["src", "azureml:code:1"]),
                environment_variables=st.just({"TOKEN": "visible", "B": ""}),
                distribution=st.just({"type": "pytorch", "process_count_per_instance": 2}),
                resources=st.just({"instance_count": 2, "shm_size": "2g"}),
            )
        ),
    }
    policy = st.sampled_from(
        [
            {"type": "median_stopping", "delay_evaluation": 5, "evaluation_interval": 1},
            {"type": "bandit", "slack_factor": 0.1, "evaluation_interval": 2},
            {"type": "bandit", "slack_amount": 0.1, "slack_factor": 0.2},
            {"type": "truncation_selection", "truncation_percentage": 20},
        ]
    )
    sampling = st.sampled_from(["random", {"type": "random", "rule": "sobol", "seed": 3}, {"type": "random", "logbase": "e"}, {"type": "random", "seed": 1}])  # fmt: skip
    return {
        "type": "sweep",
        "trial": trial,
        "sampling_algorithm": draw(sampling),
        "search_space": space,
        "objective": {"goal": draw(st.sampled_from(["minimize", "maximize", "Maximize"])), "primary_metric": "acc"},
        "limits": {"max_total_trials": draw(st.integers(1, 99)), **draw(optional(max_concurrent_trials=st.integers(1, 99), timeout=st.just(7200), trial_timeout=st.just(600)))},
        **({"inputs": inputs} if inputs else {}),
        **draw(
            optional(
                name=st.just("sweep_1"),
                display_name=st.sampled_from(["simple", "Größer: ein Versuch"]),
                experiment_name=st.just("mine"),
                description=st.just("text"),
                compute=st.sampled_from(["azureml:cpu", "cpu"]),
                early_termination=policy,
                tags=st.just({"team": "ads", "n": "1"}),
                properties=st.just({"a": "b"}),
                identity=st.sampled_from([{"type": "managed_identity", "client_id": "11111111-2222-3333-4444-555555555555"}, {"type": "user_identity"}, {"type": "aml_token"}]),
                resources=st.just({"instance_type": "Standard_DS3_v2", "instance_count": 1}),
                queue_settings=st.sampled_from([{"job_tier": "spot"}, {"job_tier": "Standard", "priority": "high"}]),
                outputs=st.just({"model": {"type": "mlflow_model", "mode": "rw_mount"}}),
            )
        ),
    }  # fmt: skip
