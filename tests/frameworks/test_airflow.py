"""The operator and the sensor in Airflow's own `dag.test()`; in an environment of its own, since Airflow pins what others want newer."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk")

_JOB = """
name: in-dag
trial: {command: "python train.py"}
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: random, seed: 1}
limits: {trials: 3}
"""
_DAG = """
import json, os, sys
from airflow.sdk import DAG, task
from cloudtune.airflow.operators import TuneOperator
from cloudtune.airflow.sensors import RunSensor

kind = sys.argv[1]
with DAG("tuning", schedule=None) as dag:
    tune = TuneOperator(task_id="tune", job="job.yaml", on="local", project=os.getcwd(), deferrable=kind == "deferred",
                        poll_interval=0.05)
    after = RunSensor(task_id="after", run_id="{{ ti.xcom_pull(task_ids='tune')['run'] }}", project=os.getcwd(),
                      deferrable=kind == "deferred", poke_interval=0.05)

    @task
    def use(result: dict) -> None:
        with open("result.json", "w") as file:
            json.dump(result, file)

    tune >> after
    use(after.output)

if __name__ == "__main__":
    run = dag.test()
    print("STATE", run.state)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("airflow")
    environment = {**os.environ, "AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return folder


def output_of(home: Path, project: Path, kind: str, script: str) -> str:
    (project / "job.yaml").write_text(_JOB)
    (project / "train.py").write_text(script)
    (project / "dag.py").write_text(_DAG)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(project),
    }
    done = subprocess.run(
        [sys.executable, "dag.py", kind], cwd=project, env=environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr


_FINE = "import cloudtune.trial as trial\ntrial.report(loss=trial.params()['x'])\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["waiting", "deferred"])
def test_a_dag_runs_a_job_and_hands_on_its_best(home: Path, tmp_path: Path, kind: str) -> None:
    said = output_of(home, tmp_path, kind, _FINE)
    assert "STATE success" in said, said
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["state"] == "completed"
    assert result["counts"] == {"completed": 3}
    assert result["best"]["metrics"]["loss"] == pytest.approx(result["best"]["parameters"]["x"])


@pytest.mark.timeout(300)
def test_a_run_that_fails_fails_its_task_with_the_reason(home: Path, tmp_path: Path) -> None:
    said = output_of(home, tmp_path, "deferred", "raise SystemExit('no data here')\n")
    assert "STATE failed" in said, said
    assert "is failed" in said
    assert not (tmp_path / "result.json").exists()


def test_airflow_finds_the_provider_package_and_its_metadata_is_valid() -> None:
    import jsonschema
    from airflow import providers_manager

    (point,) = [each for each in entry_points(group="apache_airflow_provider") if each.value.startswith("cloudtune.")]
    info = point.load()()
    found = list(Path(providers_manager.__file__).parent.rglob("provider_info.schema.json"))
    assert found
    jsonschema.validate(info, json.loads(found[0].read_text()))
    manager = providers_manager.ProvidersManager()
    assert "cloudtune" in manager.providers
    for part in ("operators", "sensors", "triggers"):
        for entry in info[part]:
            for module in entry["python-modules"]:
                __import__(module)


def test_each_try_of_a_task_instance_has_the_run_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from cloudtune.airflow.operators import TuneOperator

    (tmp_path / "job.yaml").write_text(_JOB)
    (tmp_path / "train.py").write_text(_FINE)
    operator = TuneOperator(task_id="tune", job="job.yaml", on="local", project=str(tmp_path), deferrable=False)
    instance = SimpleNamespace(dag_id="d", run_id="r", task_id="tune", map_index=-1, try_number=1)
    first = operator.execute({"ti": instance})
    instance.try_number = 2
    assert operator.execute({"ti": instance})["run"] == first["run"]
    (tmp_path / "train.py").write_text("raise SystemExit(1)")
    instance.run_id, instance.try_number = "s", 1
    with pytest.raises(Exception, match="is failed"):
        operator.execute({"ti": instance})
    (tmp_path / "train.py").write_text(_FINE)
    instance.try_number = 2
    assert operator.execute({"ti": instance})["run"].endswith("-2")
