"""What a training job's program is in SageMaker's container contract, and the data that it gets."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from sagemaker_containers import NOT_MOUNTED, Aws, archive, channel, script_mode

from cloudtune.emulation.images import Images

# What is run


def test_script_mode_runs_the_script_as_the_toolkit_does(aws: Aws) -> None:
    files = {
        "train.py": "import sys, os, helper; print(sys.argv[1:], helper.X, os.environ['SM_USER_ENTRY_POINT'])",
        "helper.py": "X = 5",
    }
    given = script_mode(aws, files, lr="0.01", kernel='"rbf"', deep="[1, 2]", flag="true", nothing="null", k="3")
    given |= {name: json.dumps(value) for name, value in given.items() if name.startswith("sagemaker_")}
    given |= {"_tuning_objective_metric": "acc", "sagemaker_container_log_level": "10"}
    job = aws.run(HyperParameters=given)
    words = ["--deep", "[1, 2]", "--flag", "True", "-k", "3", "--kernel", "rbf", "--lr", "0.01", "--nothing", ""]
    assert aws.lines(job.name) == [f"{words} 5 train.py"]
    assert job.end().state == "Completed"


def test_script_mode_runs_shell_scripts_and_packages(aws: Aws) -> None:
    job = aws.run(HyperParameters=script_mode(aws, {"run.sh": '#!/bin/sh\necho "$1 <$2>"'}, name="a 'b"))
    assert aws.lines(job.name) == ["--name <a 'b>"]
    package = {"work/__main__.py": "import sys; print('package', sys.argv[1:])", "setup.py": "", "work/__init__.py": ""}
    given = {**script_mode(aws, package, rate="1"), "sagemaker_program": "work"}
    assert aws.lines(aws.run(HyperParameters=given).name) == ["package ['--rate', '1']"]


def test_script_mode_takes_code_from_a_channel(aws: Aws) -> None:
    aws.put("code/train.py", "print('from a channel')")
    given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/input/data/code"}
    for way in (None, NOT_MOUNTED):
        job = aws.run(HyperParameters=given, InputDataConfig=[channel("code", "s3://bucket/code")], way=way)
        assert aws.lines(job.name) == ["from a channel"], job.end()


def test_a_script_that_fails_is_described_as_the_toolkit_does(aws: Aws) -> None:
    ended = aws.run(HyperParameters=script_mode(aws, {"train.py": "import sys; sys.exit('no data')"}, lr="1")).end()
    assert ended.exit_code == 1
    assert ended.failure.startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "no data"\n')
    assert 'train.py --lr 1", exit code: 1' in ended.failure


def link(name: str, target: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        tar.addfile(info)
    return packed.getvalue()


@pytest.mark.parametrize(
    "evil",
    [
        pytest.param(archive({"../outside.py": "evil"}), id="path"),
        pytest.param(link("out", "/etc"), id="absolute link"),
        pytest.param(link("out", "../../.."), id="relative link"),
    ],
)
def test_an_archive_that_would_leave_the_folder_of_the_code_is_refused(aws: Aws, evil: bytes) -> None:
    given = script_mode(aws, {"train.py": "print('ran')"})
    aws.put("code/sourcedir.tar.gz", evil)
    job = aws.run(HyperParameters=given)
    assert job.end().state == "Failed"
    assert "cannot be unpacked" in job.end().failure
    assert not (job.folder / "algo-1" / "outside.py").exists()


def test_absolute_paths_of_an_archive_stay_in_the_folder_of_the_code(aws: Aws) -> None:
    name = str(aws.folder / "outside.py")
    job = aws.run(HyperParameters=script_mode(aws, {"train.py": "print('ran')", name: "evil"}))
    assert aws.lines(job.name) == ["ran"]
    assert not Path(name).exists()


def test_code_that_is_not_there_fails_the_job(aws: Aws) -> None:
    place = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bucket/none.tar.gz"}
    assert "s3://bucket/none.tar.gz" in aws.run(HyperParameters=place).end().failure
    given = {**script_mode(aws, {"train.py": ""}), "sagemaker_program": "other.py"}
    assert "there is no 'other.py' in" in aws.run(HyperParameters=given).end().failure
    elsewhere = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/workspace"}
    assert "no files of an image" in aws.run(HyperParameters=elsewhere).end().failure


def test_requirements_that_are_missing_and_launchers_are_named_in_the_log(aws: Aws) -> None:
    requirements = "# ours\nmoto>=1\nno-such-package-xyz==1.0 ; python_version > '3'\n-r other.txt\n"
    files = {"train.py": "print('ran')", "requirements.txt": requirements}
    job = aws.run(HyperParameters=script_mode(aws, files, sagemaker_mpi_enabled="true"))
    mpi, missing, ran = aws.lines(job.name)
    assert mpi.startswith("emulator: sagemaker_mpi_enabled is not heeded")
    assert missing.endswith("missing: no-such-package-xyz")
    assert ran == "ran"


def test_a_program_stands_for_an_image(aws: Aws) -> None:
    images = Images({"*/xgboost:*": ["python", "-c", "import sys; print('words', sys.argv[1:])"], "knn": "echo a line"})
    image = {"TrainingImage": "1.dkr.ecr.us-east-1.amazonaws.com/xgboost:1.7", "ContainerArguments": ["train"]}
    assert aws.lines(aws.run(AlgorithmSpecification=image, images=images).name) == ["words ['train']"]
    assert aws.lines(aws.run(AlgorithmSpecification={"AlgorithmName": "knn"}, images=images).name) == ["a line"]


def test_an_image_that_nothing_stands_for_fails_with_what_to_do(aws: Aws) -> None:
    job = aws.run(AlgorithmSpecification={"TrainingImage": "repo/image:1"})
    assert job.end().state == "Failed"
    for words in ("no Docker", "'repo/image:1'", "ContainerEntrypoint", "sagemaker_program", "Images"):
        assert words in job.end().failure
    assert job.end().exit_code is None


# Input data


def test_files_go_where_their_prefix_says(aws: Aws) -> None:
    for key in ("data/a.txt", "data/deep/b.txt", "data2/c.txt", "data/", "lone.csv"):
        aws.put(key, key)
    code = (
        "import os; base = os.environ['SM_INPUT_DIR'] + '/data';"
        "print(sorted(os.path.relpath(os.path.join(d, f), base) for d, _, fs in os.walk(base) for f in fs))"
    )
    inputs = [
        channel("slash", "s3://bucket/data/"), channel("part", "s3://bucket/da"), channel("lone", "s3://bucket/lone.csv"),
    ]  # fmt: skip
    job = aws.run(code, InputDataConfig=inputs)
    found = [
        "lone/lone.csv",
        "part/data/a.txt",
        "part/data/deep/b.txt",
        "part/data2/c.txt",
        "slash/a.txt",
        "slash/deep/b.txt",
    ]
    assert aws.lines(job.name) == [str(found)]


def test_a_manifest_names_its_files(aws: Aws) -> None:
    aws.put("raw/x/1.txt", "1")
    aws.put("raw/2.txt", "2")
    aws.put("list.manifest", json.dumps([{"prefix": "s3://bucket/raw/"}, "x/1.txt", "2.txt"]))
    code = (
        "import os; d = os.environ['SM_CHANNEL_TRAIN']; print(open(d + '/x/1.txt').read() + open(d + '/2.txt').read())"
    )
    source = {"S3DataType": "ManifestFile"}
    job = aws.run(code, InputDataConfig=[channel(uri="s3://bucket/list.manifest", source=source)])
    assert aws.lines(job.name) == ["12"]
    aws.put("bad.manifest", json.dumps([{"prefix": "s3://bucket/raw/"}, "none.txt"]))
    failure = aws.run(code, InputDataConfig=[channel(uri="s3://bucket/bad.manifest", source=source)]).end().failure
    assert "s3://bucket/raw/none.txt" in failure


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (channel(uri="s3://bucket/nothing"), 'No S3 objects found under S3 URL "s3://bucket/nothing"'),
        (channel(uri="s3://no-such-bucket/x"), "no-such-bucket"),
        ({"ChannelName": "fs", "DataSource": {"FileSystemDataSource": {}}}, "no file systems"),
        (channel(uri="s3://bucket/bad"), "would leave the folder of its channel"),
    ],
)
def test_data_that_cannot_be_had_fails_the_job(aws: Aws, given: dict[str, Any], words: str) -> None:
    aws.put("bad/../../../../evil", "x")
    job = aws.run("pass", InputDataConfig=[given])
    assert job.end().state == "Failed"
    assert words in job.end().failure
    assert job.phases == ["Starting", "Downloading", "Failed"]


def test_pipe_mode_gives_one_named_pipe_an_epoch(aws: Aws) -> None:
    aws.put("data/1", "one,")
    aws.put("data/2", "x" * 200_000)
    code = (
        "import os; base = os.environ['SM_CHANNEL_TRAIN'];"
        "[print(e, len(t), t[:4]) for e in range(3) for t in [open(f'{base}_{e}').read()]];"
        "print(open(f'{base}_3', 'rb').read(4))"
    )
    job = aws.run(code, InputDataConfig=[channel()], AlgorithmSpecification={"TrainingInputMode": "Pipe"})
    assert aws.lines(job.name) == [*(f"{epoch} 200004 one," for epoch in range(3)), "b'one,'"]
    assert job.end().state == "Completed"
    names = {thread.name for thread in threading.enumerate()}
    assert "pipe train" not in names


def test_pipe_mode_wraps_records_and_augmented_manifests(aws: Aws) -> None:
    aws.put("img/1.png", b"PNG")
    aws.put("m.jsonl", '{"image-ref": "s3://bucket/img/1.png", "label": 5, "other": 1}\n')
    source = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["image-ref", "label"]}
    given = channel(uri="s3://bucket/m.jsonl", source=source, InputMode="Pipe", RecordWrapperType="RecordIO")
    job = aws.run(
        "import os; print(open(os.environ['SM_CHANNEL_TRAIN'] + '_0', 'rb').read().hex())", InputDataConfig=[given]
    )
    magic = "0a23d7ce"
    assert aws.lines(job.name) == [f"{magic}03000000{b'PNG'.hex()}00{magic}01000000{b'5'.hex()}000000"]


def test_a_pipe_that_nobody_reads_does_not_keep_the_job(aws: Aws) -> None:
    aws.put("data/1", "x" * 1_000_000)
    job = aws.run("pass", InputDataConfig=[channel(InputMode="Pipe")])
    assert job.end().state == "Completed"
    code = "import os; f = open(os.environ['SM_CHANNEL_TRAIN'] + '_0'); print(f.read(2))"
    assert aws.lines(aws.run(code, InputDataConfig=[channel(InputMode="Pipe")]).name) == ["xx"]
