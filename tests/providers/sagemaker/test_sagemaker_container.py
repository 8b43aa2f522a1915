"""A training job in SageMaker's container contract: what its program finds, what becomes of what it leaves."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sagemaker_containers import ACCOUNT, NOT_MOUNTED, REGION, WAYS, Aws, channel, client, metric

from cloudtune_sagemaker.emulator.logstream import GROUP

# An end


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_ends_well_completes_the_job_and_its_model_comes_back(aws: Aws, way: Any) -> None:
    code = "import os; open(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('42')"
    job = aws.run(code, way=way, InputDataConfig=[])
    ended = job.end()
    assert (ended.state, ended.failure, ended.why, ended.exit_code) == ("Completed", "", "", 0)
    assert ended.started <= ended.ended <= time.time()
    assert job.phases == ["Starting", "Training", "Uploading", "Completed"]
    assert ended.artifacts == "s3://bucket/out/job-0/output/model.tar.gz"
    assert aws.tar("out/job-0/output/model.tar.gz") == {"weights": b"42"}
    assert aws.keys() == ["out/job-0/output/model.tar.gz"], "there was no other output"


def test_the_other_output_comes_back_too_and_archives_are_reproducible(aws: Aws) -> None:
    code = (
        "import os, pathlib; base = pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR']); (base / 'plots').mkdir();"
        "(base / 'plots/a.txt').write_text('a'); (base / 'link').symlink_to('plots/a.txt');"
        "p = pathlib.Path(os.environ['SM_MODEL_DIR']); (p / 'b').write_text('b'); (p / 'a').write_text('a');"
        "(p / 'run.sh').write_text(''); (p / 'run.sh').chmod(0o700); (p / 'again').hardlink_to(p / 'a')"
    )
    aws.run(code)
    aws.run(code)
    assert aws.tar("out/job-0/output/output.tar.gz") == {"link": None, "plots": None, "plots/a.txt": b"a"}
    assert aws.tar("out/job-0/output/model.tar.gz") == {"a": b"a", "again": b"a", "b": b"b", "run.sh": b""}
    for name in ("model.tar.gz", "output.tar.gz"):
        assert aws.get(f"out/job-0/output/{name}") == aws.get(f"out/job-1/output/{name}")


def test_a_model_may_come_back_unpacked(aws: Aws) -> None:
    output = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"}
    code = "import os; open(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('42')"
    ended = aws.run(code, OutputDataConfig=output).end()
    assert ended.artifacts == "s3://bucket/out/job-0/output/model/"
    assert aws.get("out/job-0/output/model/weights") == b"42"


def test_a_missing_bucket_for_the_results_fails_the_job(aws: Aws) -> None:
    ended = aws.run("pass", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/out"}).end()
    assert ended.state == "Failed"
    assert ended.failure.startswith("ClientError: Artifact upload failed:")
    assert "no-such-bucket" in ended.failure


def test_the_failure_file_is_the_reason(aws: Aws) -> None:
    code = "import os, sys; open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('bad data in row 7'); sys.exit(3)"
    job = aws.run(code)
    assert (job.end().state, job.end().exit_code) == ("Failed", 3)
    assert job.end().failure == "AlgorithmError: bad data in row 7, exit code: 3"
    assert job.phases[-1] == "Failed"
    assert aws.keys() == [], "a failed job has no model"


def test_without_a_failure_file_the_last_output_is_the_reason(aws: Aws) -> None:
    code = "print('epoch 1'); raise ValueError('the learning rate is ' + 'high ' * 400)"
    failure = aws.run(code).end().failure
    assert failure.startswith("AlgorithmError: Traceback (most recent call last)")
    assert failure.endswith(", exit code: 1")
    assert len(failure) <= 1024
    assert "epoch 1" not in failure


def test_a_killed_program_says_by_its_exit_code_which_signal_it_was(aws: Aws) -> None:
    ended = aws.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").end()
    assert (ended.state, ended.exit_code) == ("Failed", 137)
    assert ended.failure.endswith(", exit code: 137")


def test_a_program_that_does_not_exist_fails_the_job(aws: Aws) -> None:
    for way in (None, NOT_MOUNTED):
        ended = aws.run(AlgorithmSpecification={"ContainerEntrypoint": ["no-such-program"]}, way=way).end()
        assert ended.state == "Failed"
        assert "no-such-program" in ended.failure
        assert ended.failure.endswith("exit code: 127")


# What the program finds


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*"))


@pytest.mark.parametrize("way", WAYS[:2])
def test_the_folder_is_really_at_opt_ml(aws: Aws, way: Any) -> None:
    before = names_in("/opt")
    code = (
        "import json, os; print(sorted(os.listdir('/opt/ml')), os.getcwd(), sorted(os.listdir('/opt')));"
        "print(json.load(open('/opt/ml/input/config/hyperparameters.json')));"
        "open('/opt/ml/model/m', 'w').write('x'); print(os.environ['SM_MODEL_DIR'], open('/etc/hosts').read())"
    )
    job = aws.run(code, HyperParameters={"lr": "0.1", "n": "3"}, way=way)
    assert job.end().state == "Completed", job.end()
    lines = aws.lines(job.name)
    others = sorted({*before, "ml"})
    assert lines[0] == f"['checkpoints', 'code', 'input', 'model', 'output'] /opt/ml/code {others}"
    assert lines[1] == "{'lr': '0.1', 'n': '3'}"
    assert lines[2] == "/opt/ml/model 127.0.1.1 algo-1"
    assert aws.tar("out/job-0/output/model.tar.gz") == {"m": b"x"}
    assert names_in("/opt") == before


def test_where_nothing_can_be_mounted_the_variables_and_the_command_lead_to_the_folder(aws: Aws) -> None:
    aws.put("data/x.txt", "7")
    code = (
        "import os; print(os.environ['SM_HP_OUT'], os.environ['HERE'], os.environ['SAGEMAKER_BASE_DIR'], os.getcwd())"
    )
    job = aws.run(
        AlgorithmSpecification={
            "ContainerEntrypoint": ["/bin/sh"],
            "ContainerArguments": ["-c", f'cat /opt/ml/input/data/train/x.txt; echo; exec python -c "{code}"'],
        },
        HyperParameters={"out": "/opt/ml/model"},
        Environment={"HERE": "/opt/ml/output/data"},
        InputDataConfig=[channel()],
        way=NOT_MOUNTED,
    )
    root = job.folder / "algo-1"
    assert aws.lines(job.name) == ["7", f"{root}/model {root}/output/data {root} {root}/code"]


def test_a_script_that_opens_opt_ml_where_it_is_not_mounted_gets_a_clear_message(aws: Aws) -> None:
    if Path("/opt/ml").exists():
        pytest.skip("this machine has an /opt/ml of its own")
    job = aws.run("open('/opt/ml/input/config/' + 'hyperparameters.json')", way=NOT_MOUNTED)
    # the command's own text is led there; a path that the script makes up is not
    assert job.end().state == "Completed"
    job = aws.run("open('/opt' + '/ml/input/config/hyperparameters.json')", way=NOT_MOUNTED)
    failure = job.end().failure
    assert "No such file or directory: '/opt/ml/input" in failure
    assert "could not mount /opt/ml on this machine: the test says so" in failure
    assert "SM_MODEL_DIR" in failure
    assert any(line.startswith("emulator: ") and "/opt/ml" in line for line in aws.lines(job.name))


def test_the_configuration_files(aws: Aws) -> None:
    aws.put("data/x.txt", "7")
    code = (
        "import os, sys; base = os.environ['SM_INPUT_CONFIG_DIR'];"
        "[print(open(f'{base}/{n}.json').read()) for n in ('hyperparameters', 'inputdataconfig', 'resourceconfig')]"
    )
    job = aws.run(
        code,
        HyperParameters={"lr": "1e-3"},
        InputDataConfig=[channel(ContentType="text/csv"), channel("val", InputMode="FastFile")],
        ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    )
    hyperparameters, inputs, resources = (json.loads(line) for line in aws.lines(job.name))
    assert hyperparameters == {"lr": "1e-3"}
    common = {"S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert inputs == {
        "train": {"ContentType": "text/csv", "TrainingInputMode": "File", **common},
        "val": {"TrainingInputMode": "FastFile", **common},
    }
    assert resources.pop("network_interface_name")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.c5.xlarge", "hosts": ["algo-1"]}
    assert resources == {
        "current_host": "algo-1",
        "current_instance_type": "ml.c5.xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [group],
    }
    assert job.phases[:3] == ["Starting", "Downloading", "Training"]


def test_the_environment_is_the_contracts_and_not_the_emulators(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_EMULATOR", "x")
    aws.put("data/x.txt", "7")
    job = aws.run(
        "import json, os, sys; print(json.dumps(dict(os.environ))); print(sys.executable)",
        HyperParameters={"learning-rate": "0.1", "name": "a b", "deep": '{"x": [1, 2]}', "sagemaker_job_name": '"j"'},
        Environment={"EPOCHS": "3"},
        InputDataConfig=[channel()],
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "dummy"},
        way=NOT_MOUNTED,
    )
    dumped, executable = aws.lines(job.name)
    seen, root = json.loads(dumped), str(job.folder / "algo-1")
    assert "A_SECRET_OF_THE_EMULATOR" not in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen, "the emulator's own credentials are not handed on"
    assert Path(executable).samefile(sys.executable)
    expected = {
        "EPOCHS": "3",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "dummy",
        "AWS_REGION": REGION,
        "TRAINING_JOB_NAME": job.name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{job.name}",
        "CLOUDTUNE_RUN": job.name,
        "SM_HP_LEARNING-RATE": "0.1",
        "SM_HP_NAME": "a b",
        "SM_HP_DEEP": '{"x":[1,2]}',
        "SM_HPS": '{"deep":{"x":[1,2]},"learning-rate":0.1,"name":"a b"}',
        "SM_USER_ARGS": '["--deep","x=[1, 2]","--learning-rate","0.1","--name","a b"]',
        "SM_CHANNELS": '["train"]',
        "SM_CHANNEL_TRAIN": f"{root}/input/data/train",
        "SM_MODEL_DIR": f"{root}/model",
        "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
        "SM_OUTPUT_DIR": f"{root}/output",
        "SM_INPUT_DIR": f"{root}/input",
        "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": '["algo-1"]',
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_LOG_LEVEL": "20",
        "SM_FRAMEWORK_PARAMS": "{}",
    }
    assert {name: seen.get(name) for name in expected} == expected
    training = json.loads(seen["SM_TRAINING_ENV"])
    assert training["job_name"] == job.name
    assert training["hyperparameters"] == json.loads(seen["SM_HPS"])
    assert training["channel_input_dirs"] == {"train": f"{root}/input/data/train"}


def test_an_isolated_container_gets_no_way_to_aws(aws: Aws) -> None:
    job = aws.run(
        "import os; print(sorted(n for n in os.environ if n.startswith('AWS_')), os.environ['TOKEN'])",
        EnableNetworkIsolation=True,
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "TOKEN": "t"},
    )
    assert aws.lines(job.name) == ["['AWS_DEFAULT_REGION', 'AWS_REGION'] t"]


# Output


def test_lines_arrive_in_order_while_the_program_runs(aws: Aws) -> None:
    code = (
        "import os, sys; print('first'); print('to stderr', file=sys.stderr); print(); print('bar 1\\rbar 2');"
        "print('acc=1'); f = open(os.environ['SM_OUTPUT_DIR'] + '/go') if 0 else sys.stdin;"
        "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('last', end='')));"
        "print('acc=2'); signal.pause()"
    )
    job = aws.start(code, AlgorithmSpecification=metric())
    job.until(lambda: ("acc", 2.0) in job.metrics)
    came = time.monotonic()
    while len(aws.lines(job.name)) < 5 and time.monotonic() < came + 60:
        threading.Event().wait(0.01)
    job.container.stop()
    job.end()
    assert aws.lines(job.name) == ["first", "to stderr", "bar 1\rbar 2", "acc=1", "acc=2", "last"]
    [stream] = aws.streams()
    prefix, _, moment = stream.rpartition("-")
    assert prefix == f"{job.name}/algo-1"
    assert abs(int(moment) - time.time()) < 60


def test_much_output_and_odd_bytes_are_kept(aws: Aws) -> None:
    code = (
        "import sys; sys.stdout.buffer.write(b'\\xff odd\\n');"
        "sys.stdout.write(''.join(f'line {i}\\n' for i in range(5000))); sys.stdout.write('y' * 300_000)"
    )
    job = aws.run(code)
    stream = client("logs")
    events: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = stream.get_log_events(logGroupName=GROUP, logStreamName=aws.streams()[0], startFromHead=True, **token)
        if not page["events"]:
            break
        events += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    assert events[0] == "\N{REPLACEMENT CHARACTER} odd"
    assert events[1:5001] == [f"line {i}" for i in range(5000)]
    assert "".join(events[5001:]) == "y" * 300_000
    assert job.end().state == "Completed"


def test_metrics_are_found_as_they_are_printed(aws: Aws) -> None:
    definitions = {
        "MetricDefinitions": [
            {"Name": "acc", "Regex": r"acc=(?<value>[-+.\deE]+|nan|inf);"},
            {"Name": "validation:loss", "Regex": "loss: ([0-9.]+)(, |$)"},
            {"Name": "acc", "Regex": "final accuracy ([0-9.]+)"},
            {"Name": "bad", "Regex": "("},
            {"Name": "word", "Regex": "word=(.*)"},
        ]
    }
    code = "print('acc=0.5;acc=1e-3; loss: 7, '); print('acc=nan;'); print('word=seven'); print('final accuracy 0.9')"
    job = aws.run(code, AlgorithmSpecification=definitions)
    names = [name for name, _ in job.metrics]
    values = [value for _, value in job.metrics]
    assert names == ["acc", "acc", "validation:loss", "acc", "acc"]
    assert values[:3] == [0.5, 0.001, 7.0]
    assert values[3] != values[3], "nan"
    last = job.end().metrics
    assert {name: value for name, (value, _) in last.items()} == {"acc": 0.9, "validation:loss": 7.0}
    assert last["acc"][1] == job.moments[-1]
    assert aws.lines(job.name)[0].startswith("emulator: the regex of the metric 'bad' is not valid")


# The rest


def test_a_trivial_job_is_over_in_a_moment(aws: Aws) -> None:
    aws.run(AlgorithmSpecification={"ContainerEntrypoint": ["true"]})  # loads what the first one loads
    fastest, until = 9.0, time.monotonic() + 60
    while fastest >= 0.15 and time.monotonic() < until:  # a wait would be in each; a busy machine slows some
        began = time.monotonic()
        aws.run(AlgorithmSpecification={"ContainerEntrypoint": ["true"]})
        fastest = min(fastest, time.monotonic() - began)
    assert fastest < 0.15


def test_jobs_run_side_by_side(aws: Aws) -> None:
    jobs = [aws.start(f"print('acc={number}')", AlgorithmSpecification=metric()) for number in range(8)]
    assert [job.end().metrics["acc"][0] for job in jobs] == list(range(8))
    assert len(aws.keys("out/")) == 8


def test_signals_of_the_emulators_terminal_do_not_reach_the_program(aws: Aws) -> None:
    job = aws.start("import os, time; print(f'acc={os.getpgid(0)}'); time.sleep(600)", AlgorithmSpecification=metric())
    job.until(lambda: job.metrics)
    group = int(job.metrics[0][1])
    assert group != os.getpgid(0)
    os.killpg(group, signal.SIGTERM)
    assert (job.end().state, job.end().exit_code) == ("Failed", 143)
