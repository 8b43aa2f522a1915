"""A custom job in Vertex AI's contract: what its programs find, and what becomes of how they end."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.emulation.authority import Authority
from cloudtune.emulation.images import Images
from cloudtune.emulation.mounting import NotMounted, mounting
from cloudtune.testing.conformance import wait_until
from cloudtune_vertex.emulator.buckets import Buckets
from cloudtune_vertex.emulator.entries import LogEntries
from cloudtune_vertex.emulator.faults import Faults
from cloudtune_vertex.emulator.hypertune import Measurement, MetricsFile
from cloudtune_vertex.emulator.worker import BASE, Ended, Worker, Workshop

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")


NOT_MOUNTED = NotMounted("the test says so")
needs_mount = pytest.mark.skipif(not mounting(BASE).works, reason=mounting(BASE).why_not)
WAYS = [pytest.param(None, id="mounted", marks=needs_mount), pytest.param(NOT_MOUNTED, id="not mounted")]


class Job:
    """A worker and what it said."""

    def __init__(self, place: "Place", spec: dict[str, Any], **options: Any) -> None:
        self.name = f"projects/project/locations/here/customJobs/{len(place.jobs) + 1}"
        self.place = place
        self.running = 0
        self.measurements: list[Measurement] = []
        self.ended: list[Ended] = []
        self._changed = threading.Condition()
        workshop = Workshop(
            buckets=place.buckets,
            entries=place.entries,
            folder=place.folder / "jobs",
            images=options.pop("images", Images()),
            grace=options.pop("grace", 2.0),
            environment={"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"},
            faults=Faults(),
            authority=Authority(),
            way=options.pop("way", None),
        )
        self.worker = Worker(
            spec,
            name=self.name,
            workshop=workshop,
            on_running=self._run,
            on_measurement=lambda each: self._note(self.measurements, each),
            on_end=lambda ended: self._note(self.ended, ended),
            **options,
        )

    def _run(self) -> None:
        with self._changed:
            self.running += 1
            self._changed.notify_all()

    def _note(self, into: list[Any], it: Any) -> None:
        with self._changed:
            into.append(it)
            self._changed.notify_all()

    def until(self, what: Callable[[], object], seconds: float = 30) -> None:
        with self._changed:
            assert self._changed.wait_for(what, seconds), (self.running, self.measurements, self.ended, self.lines())

    def end(self) -> Ended:
        self.until(lambda: self.ended)
        return self.ended[0]

    def lines(self, task: str = "workerpool0-0") -> list[str]:
        job = self.name.rpartition("/")[2]
        return [
            entry["jsonPayload"]["message"]
            for entry in self.place.entries.matching(lambda entry: entry["resource"]["labels"]["job_id"] == job)
            if entry["resource"]["labels"]["task_name"] == task
        ]

    def seen(self, task: str = "workerpool0-0") -> Any:
        """The last line, as JSON."""
        return json.loads(self.lines(task)[-1])


class Place:
    """The emulator's surroundings of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.buckets = Buckets(folder / "cloud")
        self.buckets.make("bucket")
        self.entries = LogEntries()
        self.jobs: list[Job] = []

    def start(self, code: str = "", *, count: int = 0, spec: dict[str, Any] | None = None, **options: Any) -> Job:
        """Starts a job; `code` is Python that the container's command runs, on further machines as well."""
        container = {"imageUri": "own:1", **({"command": ["python3", "-c", code]} if code else {})}
        container |= options.pop("container", {})
        pools = [{"machineSpec": {"machineType": "n1"}, "replicaCount": 1, "containerSpec": container}]
        if count:
            pools.append({**pools[0], "replicaCount": count})
        given = {"workerPoolSpecs": pools, **(spec or {})}
        job = Job(self, given, **options)
        self.jobs.append(job)
        job.worker.start()
        return job

    def run(self, code: str = "", **options: Any) -> Job:
        job = self.start(code, **options)
        job.end()
        return job


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for job in place.jobs:
        job.worker.close()


# What a program finds

SHOW = "import json, os, sys; print(json.dumps({'env': dict(os.environ), 'args': sys.argv[1:], 'cwd': os.getcwd()}))"


def test_a_program_finds_the_services_variables_and_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_MACHINE", "x")
    env = [
        {"name": "MODE", "value": "fast"},
        {"name": "WHERE", "value": "$(CLOUD_ML_PROJECT_ID)/$(MODE)"},
        {"name": "ESCAPED", "value": "$$(MODE)"},
        {"name": "UNKNOWN", "value": "$(NOBODY)"},
    ]
    job = place.run(
        SHOW,
        container={"env": env, "args": ["--epochs=3"]},
        trial="7",
        parameters={"lr": 0.5, "units": 64.0, "kind": "a b"},
        output="gs://bucket/out/7",
    )
    assert job.ended[0].state == "succeeded", job.ended
    seen = job.seen()
    assert seen["args"] == ["--epochs=3", "--lr=0.5", "--units=64", "--kind=a b"]
    expected = {
        "CLOUD_ML_PROJECT_ID": "project",
        "CLOUD_ML_JOB_ID": "1",
        "CLOUD_ML_TRIAL_ID": "7",
        "AIP_MODEL_DIR": "gs://bucket/out/7/model/",
        "AIP_CHECKPOINT_DIR": "gs://bucket/out/7/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": "gs://bucket/out/7/logs/",
        "MODE": "fast",
        "WHERE": "project/fast",
        "ESCAPED": "$(MODE)",
        "UNKNOWN": "$(NOBODY)",
    }
    assert {name: seen["env"].get(name) for name in expected} == expected
    assert "CLOUD_ML_HP_METRIC_FILE" in seen["env"]
    assert "TF_CONFIG" not in seen["env"]
    assert "SECRET_OF_THE_MACHINE" not in seen["env"]
    cluster = json.loads(seen["env"]["CLUSTER_SPEC"])
    assert cluster["task"] == {"type": "workerpool0", "index": 0, "trial": "7"}
    assert list(cluster["cluster"]) == ["workerpool0"]


def test_a_plain_custom_job_has_no_trial(place: Place) -> None:
    job = place.run(SHOW)
    assert not {"CLOUD_ML_TRIAL_ID", "CLOUD_ML_HP_METRIC_FILE", "AIP_MODEL_DIR"} & job.seen()["env"].keys()


@pytest.mark.parametrize("way", WAYS)
def test_the_buckets_are_folders(place: Place, way: Any) -> None:
    place.buckets.put("bucket", "data/a.txt", b"content", {})
    code = (
        "import os, pathlib; root = pathlib.Path(os.environ.get('CLOUDTUNE_GCS', '/gcs'));"
        "print((root / 'bucket/data/a.txt').read_text());"
        "(root / 'bucket/out').mkdir(); (root / 'bucket/out/b.txt').write_text('left')"
    )
    job = place.run(code, way=way)
    assert job.ended[0].state == "succeeded", job.lines()
    assert job.lines() == ["content"]
    assert place.buckets.path("gs://bucket/out/b.txt").read_bytes() == b"left"


def test_paths_below_gcs_in_arguments_lead_to_the_buckets_where_nothing_can_be_mounted(place: Place) -> None:
    place.buckets.put("bucket", "a.txt", b"content", {})
    code = "import os, sys; print(open(sys.argv[1].partition('=')[2]).read(), open(os.environ['DATA']).read())"
    container = {"args": ["--data=/gcs/bucket/a.txt"], "env": [{"name": "DATA", "value": "/gcs/bucket/a.txt"}]}
    assert place.run(code, way=NOT_MOUNTED, container=container).lines() == ["content content"]


def test_a_script_that_opens_gcs_where_it_is_not_mounted_gets_a_clear_message(place: Place) -> None:
    job = place.run("import pathlib; open(str(pathlib.Path('/', 'gcs', 'bucket', 'x')))", way=NOT_MOUNTED)
    assert "could not mount /gcs" in job.ended[0].failure
    assert "CLOUDTUNE_GCS" in job.ended[0].failure


# Programs


def test_a_python_package_is_found_and_run(place: Place, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    with tarfile.open(tmp_path / "dist" / "trainer-0.1.tar.gz", "w:gz") as tar:
        for name, text in {"trainer/__init__.py": "", "trainer/task.py": "import sys, helper; print(sys.argv[1:], helper.A)"}.items():  # fmt: skip
            (tmp_path / "file").write_text(text)
            tar.add(tmp_path / "file", f"trainer-0.1/src/{name}")
    with zipfile.ZipFile(tmp_path / "dist" / "helper-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("helper.py", "A = 5")
    uris = []
    for path in sorted((tmp_path / "dist").iterdir()):
        place.buckets.put("bucket", f"dist/{path.name}", path.read_bytes(), {})
        uris.append(f"gs://bucket/dist/{path.name}")
    package = {"executorImageUri": "exec:1", "packageUris": uris, "pythonModule": "trainer.task", "args": ["--a=1"]}
    pool = {"machineSpec": {"machineType": "n1"}, "replicaCount": 1, "pythonPackageSpec": package}
    job = place.run(spec={"workerPoolSpecs": [pool]}, trial="1", parameters={"lr": 0.25})
    assert job.lines() == ["['--a=1', '--lr=0.25'] 5"], job.ended


def test_a_package_that_is_not_there_fails_the_job(place: Place) -> None:
    package = {"executorImageUri": "e", "packageUris": ["gs://bucket/none.tar.gz"], "pythonModule": "m"}
    pool = {"machineSpec": {"machineType": "n1"}, "replicaCount": 1, "pythonPackageSpec": package}
    job = place.run(spec={"workerPoolSpecs": [pool]})
    assert "gs://bucket/none.tar.gz cannot be unpacked" in job.ended[0].failure


def test_a_program_stands_for_an_image(place: Place) -> None:
    images = Images({"*/training/*": "python3 -c 'import sys; print(sys.argv[1:])' \"$@\""})
    job = place.run(images=images, container={"imageUri": "docker.pkg.dev/training/x:1", "args": ["--a"]})
    assert job.lines() == ["['--a']"]


def test_an_image_that_nothing_stands_for_fails_with_what_to_do(place: Place) -> None:
    failure = place.run().ended[0].failure
    assert "no Docker" in failure
    assert "containerSpec.command" in failure


def test_a_program_that_does_not_exist_fails_the_job(place: Place) -> None:
    job = place.run(container={"command": ["/nowhere/at/all"]})
    assert job.ended[0].state == "failed"


# Metrics


def report(step: int, **metrics: float) -> str:
    line = {"timestamp": time.time(), "trial": "0", **metrics, "global_step": str(step), "checkpoint_path": ""}
    return json.dumps(line) + "\n"


def test_metrics_are_told_while_the_program_runs(place: Place, tmp_path: Path) -> None:
    code = (
        "import os, pathlib, time\n"
        "file = open(os.environ['CLOUD_ML_HP_METRIC_FILE'], 'a')\n"
        'file.write(\'{"loss": 0.5, "global_step": "1", "trial": "1"}\\n\'); file.flush()\n'
        f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.02)\n"
        'file.write(\'{"loss": 0.25, "global_step": "2", "trial": "1"}\\n\')\n'
    )
    job = place.start(code, trial="1")
    job.until(lambda: job.measurements)
    assert not job.ended
    (tmp_path / "go").touch()
    job.end()
    assert [(each.step, each.metrics) for each in job.measurements] == [(1, {"loss": 0.5}), (2, {"loss": 0.25})]


def test_a_metrics_file_that_is_written_anew_tells_each_line_once(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "output.metrics"
    file = MetricsFile(path, time.time(), said.append)
    assert file.read() == []
    lines = [report(1, loss=0.5), report(2, loss=0.25)]
    path.write_text("".join(lines))
    first = file.read()
    path.write_text("".join(lines[1:]) + report(3, loss=0.125) + report(3, accuracy=1.0) + "no json\n{unended")
    told = [*first, *file.read(), *file.read(final=True)]
    assert [(each.step, each.metrics) for each in told] == [
        (1, {"loss": 0.5}),
        (2, {"loss": 0.25}),
        (3, {"loss": 0.125, "accuracy": 1.0}),
    ]
    assert len(said) == 1
    assert "no json" in said[0]


# Ends


def test_exit_codes_are_told(place: Place) -> None:
    failure = place.run("print('the reason'); raise SystemExit(3)").ended[0].failure
    assert "workerpool0-0 exited with a non-zero status of 3" in failure
    assert "the reason" in failure


def test_programs_that_die_of_a_signal_are_tried_again(place: Place) -> None:
    code = (
        "import os, pathlib, signal\n"
        f"mark = pathlib.Path({str(place.folder / 'mark')!r})\n"
        "if not mark.exists():\n    mark.touch(); os.kill(os.getpid(), signal.SIGSEGV)\n"
        "print('again')\n"
    )
    job = place.run(code)
    assert job.ended[0].state == "succeeded"
    assert job.lines()[-1] == "again"
    assert job.running == 1
    (place.folder / "mark").unlink()
    assert place.run(code, spec={"scheduling": {"disableRetries": True}}).ended[0].state == "failed"


def test_a_stopped_program_may_tidy_up(place: Place) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('tidy'), sys.exit(0)))\nprint('on')\ntime.sleep(60)\n"
    )
    job = place.start(code)
    wait(lambda: job.lines() == ["on"])
    job.worker.stop()
    assert job.end().state == "cancelled"
    assert job.lines() == ["on", "tidy"]


def test_a_program_that_does_not_stop_is_killed_after_the_grace_time(place: Place) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); time.sleep(60)"
    job = place.start(code, grace=0.2)
    wait(lambda: job.lines() == ["on"])
    job.worker.stop()
    assert job.end().state == "cancelled"


def test_a_stop_before_the_start_runs_nothing(place: Place) -> None:
    job = Job(place, {"workerPoolSpecs": [{"containerSpec": {"imageUri": "x", "command": ["touch", str(place.folder / "ran")]}}]})  # fmt: skip
    place.jobs.append(job)
    job.worker.stop()
    job.worker.start()
    assert job.end().state == "cancelled"
    assert not (place.folder / "ran").exists()


def test_the_timeout_ends_the_job(place: Place) -> None:
    job = place.run("import time; time.sleep(60)", spec={"scheduling": {"timeout": "0.3s"}}, grace=0.2)
    assert job.ended[0].state == "failed"
    assert "timeout" in job.ended[0].failure


def test_machines_that_are_taken_away_start_the_job_anew(place: Place) -> None:
    code = (
        "import os, pathlib, time\n"
        f"mark = pathlib.Path({str(place.folder / 'mark')!r})\n"
        "if not mark.exists():\n    mark.touch(); print('first', flush=True); time.sleep(60)\n"
        "print('second')\n"
    )
    job = place.start(code)
    wait(lambda: job.lines() == ["first"])
    job.worker.interrupt()
    assert job.end().state == "succeeded"
    assert job.lines()[-1] == "second"
    (place.folder / "mark").unlink()
    last = place.start(code, spec={"scheduling": {"disableRetries": True}})
    wait(lambda: last.lines() == ["first"])
    last.worker.interrupt()
    assert "preempted" in last.end().failure


def wait(condition: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(0.02)


def test_nothing_that_a_program_started_outlives_it(place: Place) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "print(child.pid)\n"
    )
    job = place.run(code)
    wait_until(lambda: not _alive(int(job.lines()[0])))


def test_close_ends_everything_at_once_and_says_nothing_more(place: Place) -> None:
    job = place.start("import os, time; print(os.getpid()); time.sleep(60)")
    wait(lambda: job.lines())
    job.worker.close()
    assert not _alive(int(job.lines()[0]))
    assert job.ended == []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/status").read_text().partition("State:")[2][:5]


def test_a_program_does_not_outlive_an_emulator_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import json, sys, threading\n"
        "from google.cloud import aiplatform_v1 as v1\n"
        "from cloudtune_vertex.emulator import VertexEmulator\n"
        "with VertexEmulator() as emulator:\n"
        "    code = 'import os, time; print(os.getpid()); time.sleep(60)'\n"
        "    spec = {'workerPoolSpecs': [{'machineSpec': {'machineType': 'n1'}, 'replicaCount': 1,"
        " 'containerSpec': {'imageUri': 'x', 'command': ['python3', '-c', code]}}]}\n"
        "    job = v1.CustomJob.from_json(json.dumps({'displayName': 'a', 'jobSpec': spec}))\n"
        "    emulator.jobs.create('CustomJob', emulator.parent, v1.CustomJob.pb(job))\n"
        "    while not (found := emulator._entries.matching(lambda entry: True)):\n"
        "        threading.Event().wait(0.02)\n"
        "    print(found[0]['jsonPayload']['message'], flush=True)\n"
        "    threading.Event().wait()\n"
    )
    emulator = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert emulator.stdout is not None
    pid = int(emulator.stdout.readline())
    emulator.send_signal(signal.SIGKILL)
    emulator.communicate()
    wait(lambda: not _alive(pid))


# Several machines


def test_every_machine_knows_the_cluster(place: Place) -> None:
    code = (
        f"{SHOW}\n"
        "import pathlib, time\n"
        "task = json.loads(os.environ['CLUSTER_SPEC'])['task']\n"
        f"folder = pathlib.Path({str(place.folder)!r})\n"
        "if task['type'] == 'workerpool1': (folder / f\"done{task['index']}\").touch()\n"
        "while len(list(folder.glob('done*'))) < 2: time.sleep(0.02)\n"
    )
    job = place.run(code, count=2)
    tasks = ["workerpool0-0", "workerpool1-0", "workerpool1-1"]
    specs = [json.loads(job.seen(task)["env"]["CLUSTER_SPEC"]) for task in tasks]
    assert [(each["task"]["type"], each["task"]["index"]) for each in specs] == [
        ("workerpool0", 0),
        ("workerpool1", 0),
        ("workerpool1", 1),
    ]
    assert [len(specs[0]["cluster"][name]) for name in ("workerpool0", "workerpool1")] == [1, 2]
    assert len({json.dumps(each["cluster"]) for each in specs}) == 1
    config = json.loads(job.seen("workerpool1-1")["env"]["TF_CONFIG"])
    assert config["task"] == {"type": "worker", "index": 1}
    assert set(config["cluster"]) == {"chief", "worker"}


def test_a_machine_that_fails_ends_the_others(place: Place) -> None:
    code = (
        "import json, os, time\n"
        "task = json.loads(os.environ['CLUSTER_SPEC'])['task']\n"
        "if task['type'] == 'workerpool1': raise SystemExit('worker fails')\n"
        "time.sleep(60)\n"
    )
    job = place.run(code, count=1, grace=0.2)
    assert "workerpool1-0 exited" in job.ended[0].failure
    assert "worker fails" in job.ended[0].failure


def test_the_job_ends_well_when_its_first_machine_does(place: Place) -> None:
    code = (
        "import json, os, time\n"
        "if json.loads(os.environ['CLUSTER_SPEC'])['task']['type'] == 'workerpool1': time.sleep(60)\n"
    )
    assert place.run(code, count=1, grace=0.2).ended[0].state == "succeeded"
