"""Files of other tools, and our own: one reader, within bounds whatever they hold or are."""

import io
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzzing
import pytest

from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, SpecError
from cloudtune.interop.documents import read_document, read_documents
from cloudtune.spec.text.files import MAX_BYTES
from cloudtune.spec.text.reading import read_foreign

ORIGINS = ("wandb", "katib", "sagemaker", "vertex", "azureml")
SWEEP = "method: random\nrun_cap: 3\nprogram: t.py\nmetric: {name: loss, goal: minimize}\nparameters: {x: {min: 0.1, max: 1.0}}\n"


def bomb(levels: int = 9, width: int = 9) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


HOSTILE = {
    "bomb": (bomb().encode(), "the aliases stand for more than"),
    "merge bomb": (
        ("a: &a {x: 1}\n" + "b: &b\n" + "".join(f"  k{n}: {{<<: *a}}\n" for n in range(4)) + "c: {<<: [*b, 3]}\n").encode(),
        "<< takes a mapping",
    ),
    "deep flow": (b"a: " + b"[" * 3000 + b"]" * 3000, "nest deeper than 50 levels"),
    "deep block": (b"".join(b" " * n + b"a:\n" for n in range(300)), "nest deeper than 50 levels"),
    "deep JSON": (b'{"a":' * 3000 + b"1" + b"}" * 3000, "nest deeper than 50 levels"),
    "a number of 400 digits": (b"a: " + b"1" * 400, "line 1, column 4: a: a number of 400 digits is too long"),
    "a number of 5,000 digits": (b"a: 1\nb: " + b"1" * 5000, "line 2, column 4: b: a number of 5000 digits is too long"),
    "a JSON number of 5,000 digits": (b'{"a":\n ' + b"1" * 5000 + b"}", "line 2, column 2: a number of 5000 digits is too long"),
    "a binary number": (b"a: 0b" + b"1" * 290, ""),
    "no UTF-8": (b"a: 1\nb: caf\xe9\n", "byte 11 is not UTF-8 (save the file as UTF-8)"),
    "half of UTF-16": (b"\xff\xfea\x00:\x00 \x00b", "is not UTF-16"),
    "half of a character": (b'{"a": {"b": "\\ud800"}}', "a.b: holds half of a character"),
    "NUL": (b"a: \x00", "line 1, column 4: the character U+0000"),
    "a program": (b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)), "it is no text file"),
    "twice": (b"a: 1\nb: {c: 1, c: 2}\n", "line 2, column 11: b.c: the key 'c' stands twice (it first stands in line 2"),
    "twice in JSON": (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
    "empty": (b"", "empty"),
    "a comment": (b"# nothing\n---\n---\n", "empty"),
    "huge": (b"a: 1\n" + b"#" * MAX_BYTES, "larger than 1 MiB"),
    "many values": (b"a: [" + b"1," * 100_000 + b"1]", "more than 100000 keys and values"),
    "a tag": (b"a: !!python/object/apply:os.system [ls]\n", "line 1, column 4: tags (!) have no meaning"),
    "half of JSON": (b'{"a": 1,\n "b"}', "line 2, column 5: is not JSON"),
    "a date that is none": (b"a: !!int 2024-13-45\n", "is no int that can be read"),
}  # fmt: skip


def cells(others: Iterable[Any]) -> Iterator[Any]:
    """Every hostile file with every one of the others; by default what takes a second is shown with the first."""
    for index, other in enumerate(others):
        for case in HOSTILE:
            marks = [pytest.mark.complete] if index and case == "many values" else []
            yield pytest.param(case, other, marks=marks)


@pytest.mark.parametrize(("case", "origin"), cells(ORIGINS))
def test_a_hostile_file_is_refused_in_words_by_every_import(
    case: str, origin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = HOSTILE[case]
    file = tmp_path / "file"
    file.write_bytes(content)
    assert run_app(["import", str(file), "--from", origin]) == 2
    err = capsys.readouterr().err
    assert "unexpected" not in err
    assert message in err or (origin == "katib" and message == "empty")


@pytest.mark.parametrize(("case", "command"), cells(["plan", "run", "export --to katib"]))
def test_a_hostile_job_is_refused_in_words(
    case: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, _ = HOSTILE[case]
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    name, *options = command.split()
    assert run_app([name, str(file), *options]) == 2
    assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("origin", ORIGINS)
def test_what_is_no_file_is_refused_at_once(origin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, message in {
        tmp_path: "it is a folder, not a file (give a file)",
        tmp_path / "pipe": "it is a pipe, not a file",
        Path("/dev/zero"): "it is a device, not a file",
        tmp_path / "nothing": "there is no file",
    }.items():
        assert run_app(["import", str(place), "--from", origin]) == 2
        assert message in capsys.readouterr().err


def test_a_pipe_of_the_shell_is_read() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(SWEEP.encode())
    try:
        assert read_document(f"/dev/fd/{reader}").data["method"] == "random"
    finally:
        os.close(reader)


def test_a_stream_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()

    def pour() -> None:
        with suppress(BrokenPipeError):
            while True:
                os.write(writer, b"# and on\n" * 1000)
        os.close(writer)

    thread = threading.Thread(target=pour)
    thread.start()
    with os.fdopen(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(SpecError, match="standard input has 1 problem:\n  the document is larger than 1 MiB"):
            read_document("-")
    thread.join()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_windows_is_read(encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PowerShell's > writes UTF-16 with a byte order mark."""
    (tmp_path / "sweep.yaml").write_bytes(SWEEP.replace("loss", "Güte").replace("\n", "\r\n").encode(encoding))
    (tmp_path / "t.py").write_text("")
    assert run_app(["import", str(tmp_path / "sweep.yaml"), "--from", "wandb", "-o", str(tmp_path / "job.yaml")]) == 0
    job = (tmp_path / "job.yaml").read_text("utf-8")
    assert "metric: Güte" in job or 'metric: "Güte"' in job
    (tmp_path / "job.yaml").write_bytes(job.encode(encoding))
    (tmp_path / "cloudtune.toml").write_bytes('default = "local"\n'.encode(encoding))
    assert run_app(["plan", str(tmp_path / "job.yaml")]) == 0, capsys.readouterr().err


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(bomb(30, 30), "utf-8")
    code = "import sys; from cloudtune.cli.app import run_app; sys.exit(run_app(['import', 'bomb.yaml', '--from', 'katib']))"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "the aliases stand for more than" in ended.stderr


def test_yaml_1_1_means_what_it_means_to_the_tools_that_wrote_it() -> None:
    text = "a: 1e-3\nb: 1.0e-3\nc: on\nd: 2024-01-31\ne: 0x1f\nf: 1_000\ng: ~\nh: 010\ni: 'on'\non: {<<: &x {u: 1, v: 2}, v: 3}\nk: =\nl: !!float 1e-5\n"
    (node,) = read_foreign(text, "it")
    assert node.value == {
        "a": "1e-3", "b": 0.001, "c": True, "d": "2024-01-31", "e": 31, "f": 1000, "g": None, "h": 8, "i": "on",
        "on": {"u": 1, "v": 3}, "k": "=", "l": 1e-5,
    }  # fmt: skip


def test_merged_mappings_yield_to_what_is_written_and_the_first_wins() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n"
    (node,) = read_foreign(text, "it")
    assert node.value["c"] == {"z": 3, "x": 1, "y": 1}
    assert node.children["c"].children["y"].place == (1, 17)


@pytest.mark.parametrize("text", ['{"a": {"b": [1, {"c": 2}]}}', '{\n\t"a": {"b": [1, {"c": 2}]}}'])
def test_json_tells_places_where_yaml_can(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text, "utf-8")
    document = read_document(str(tmp_path / "x.json"))
    assert document.data == json.loads(text)
    problem = document.problem(("a", "b", 1, "c"), "is wrong")
    assert (problem.line, problem.column) == (1 + text.count("\n"), 23)


def test_several_documents_are_told_where_one_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"{SWEEP}---\n{SWEEP}", "utf-8")
    assert len(read_documents(str(tmp_path / "x.yaml"))) == 2
    with pytest.raises(SpecError, match="line 7, column 1: a second document begins here, of 2"):
        read_document(str(tmp_path / "x.yaml"))
    with pytest.raises(ConfigError, match="there is no file"):
        read_document(str(tmp_path / "x\0yaml"))


def test_a_mistake_in_a_request_has_its_line_however_the_service_spells_the_member(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.yaml").write_text("display_name: x\nmax_trial_count: none\nstudy_spec:\n  metrics: 3\n", "utf-8")
    assert run_app(["import", str(tmp_path / "x.yaml"), "--from", "vertex"]) == 2
    err = capsys.readouterr().err
    assert "line 2, column 18: maxTrialCount: must be a whole number" in err
    assert "line 4, column 12: studySpec.metrics: must be a list" in err


def test_standard_input_of_texts_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(SWEEP))
    assert read_document("-").data["run_cap"] == 3


# What is no job


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("my sweep.yaml", SWEEP, "cloudtune import 'my sweep.yaml' --from wandb -o job.yaml"),
        (
            "e.yaml",
            "apiVersion: kubeflow.org/v1beta1\nkind: Experiment\n",
            "cloudtune import e.yaml --from katib -o job.yaml",
        ),
        ("r.json", '{"HyperParameterTuningJobName": "a"}', "cloudtune import r.json --from sagemaker -o job.yaml"),
        ("r.json", '{"study_spec": {}}', "cloudtune import r.json --from vertex -o job.yaml"),
        ("s.yml", "type: sweep\nsearch_space: {}\n", "cloudtune import s.yml --from azureml -o job.yaml"),
        ("b.json", '{"properties": {"jobType": "Sweep"}}', "cloudtune import b.json --from azureml -o job.yaml"),
        ("study.db", "SQLite format 3\0…", "cloudtune import study.db --from optuna -o job.yaml"),
        ("study.log", '{"op_code": 0}\n{"op_code": 1}\n', "cloudtune import study.log --from optuna -o job.yaml"),
        ("train.py", "import argparse\n", "write a job that runs it (`cloudtune init --from"),
        ("train.py", "from ray import tune\n", "cloudtune import train:NAME --from ray-tune -o job.yaml"),
        ("train.ipynb", '{"cells": []}', "is a notebook, not a job"),
    ],
)
def test_what_is_no_job_is_told_what_to_do_with_it(
    command: str, name: str, content: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content, "utf-8")
    assert run_app([command, name]) == 2
    assert advice in capsys.readouterr().err


def test_a_mistaken_job_keeps_its_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.yaml").write_text("name: a\nmethod: grid\nparameters: {}\nspace: {}\n", "utf-8")
    assert run_app(["plan", str(tmp_path / "job.yaml")]) == 2
    assert "unknown key 'method'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("[adam, sgd]", "write {type: categorical, values: [adam, sgd]} for a choice)"),
        ("[adam]", "write {type: categorical, values: [adam]} for a choice)"),
        ("[0.1, 1.0]", "for a choice, or {type: float, low: 0.1, high: 1.0} for a range)"),
        ("[1, 8]", "or {type: int, low: 1, high: 8} for a range)"),
        ("[[1, 2], [3]]", "values: [[1, 2], [3]]"),
    ],
)
def test_a_list_of_values_offers_the_categorical_form(
    entry: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = "name: a\ntrial: {command: x}\nobjective: {metric: loss, goal: minimize}\nspace:\n  o: "
    (tmp_path / "job.yaml").write_text(job + entry, "utf-8")
    assert run_app(["plan", str(tmp_path / "job.yaml")]) == 2
    err = capsys.readouterr().err
    assert "has 1 problem:\n  line 5, column 3: space.o: a list of values is no parameter (" in err
    assert hint in err


@pytest.mark.parametrize(("value", "quoted"), [("'3'", True), ('"1e-3"', True), ("abc", False), ("1_000", False)])
def test_quotes_are_to_be_taken_away_only_where_there_are_some(
    value: str, quoted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = f"name: a\ntrial: {{command: x}}\nobjective: {{metric: loss, goal: minimize}}\nspace: {{x: {{type: float, low: {value}, high: 1}}}}"
    (tmp_path / "job.yaml").write_text(job, "utf-8")
    assert run_app(["plan", str(tmp_path / "job.yaml")]) == 2
    assert ("take the quotes away" in capsys.readouterr().err) == quoted


def test_a_flag_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["trials", "\udcff"],
        ["plan", "x.yaml", "--set", "name=\udc80"],
        ["import", "\udcff", "--from", "wandb"],
    ):
        assert run_app(words) == 2
        assert "is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("number", [10**400, -(10**400), 1e308 * 10])
def test_a_number_beyond_all_floats_is_read_or_refused_in_words_by_every_service(number: float) -> None:
    from cloudtune.plugins.entry_points import providers
    from cloudtune.provider.interface import load_provider

    requests = {"sagemaker": fuzzing.SAGEMAKER, "vertex": fuzzing.VERTEX, "azureml": fuzzing.AZUREML}
    for name in requests.keys() & providers():
        for holder, key in fuzzing.places(requests[name]):
            if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
                before, holder[key] = holder[key], number
                try:
                    with suppress(SpecError):  # whatever else is raised fails the test
                        load_provider(name).from_native(requests[name])
                finally:
                    holder[key] = before
