"""YAML that is broken, hostile, or more than a job needs: refused at once, in plain words."""

import time
from pathlib import Path

import pytest
import yaml
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.errors import SpecError
from cloudtune.spec.job import TuningJob
from cloudtune.spec.text.reading import MAX_ALIASED, MAX_BYTES, MAX_DEPTH, read_yaml


@pytest.fixture(params=["libyaml", "python"])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers of PyYAML: its own is used where the C library is not built in."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML is built without libyaml")


def problem_of(text: str) -> str:
    """The only problem of a text that is not YAML, as it is printed."""
    with pytest.raises(SpecError) as caught:
        read_yaml(text, "the job")
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("", "the document is empty"),
        ("# nothing\n", "the document is empty"),
        ("---\n", "the document is empty"),
        ("a: b: c", "line 1, column 5: a ':' is not allowed here"),
        ("a: x\n  b: y", "line 2, column 4: a ':' is not allowed here"),
        ("a: 1\nb: 'x\nc: 3\n", "line 2, column 4: this quote is not closed"),
        ("a: [1, 2\nb: 3", "line 1, column 4: this [ has no ]"),
        ("a: {b: 1\nc: 3", "line 1, column 4: this { has no }"),
        ("a:\n\t- b", "line 2, column 1: a tab cannot indent (use spaces)"),
        ("a: @x", "line 1, column 4: a value cannot begin with @ (put it in quotes)"),
        ("a: `x", "line 1, column 4: a value cannot begin with `"),
        ("a: %x", "line 1, column 4: a value cannot begin with %"),
        ("a: - b", "line 1, column 4: a list cannot begin here"),
        ("a: ]", "line 1, column 4: a value is missing here"),
        ("- a\nb: c", "line 2, column 1: this line is no item of the list above it"),
        ("a: 'b' c", "line 1, column 8: this does not belong to the mapping around it"),
        ("a: |x\n b", "line 1, column 5: only + or - and a digit may follow | or >"),
        ("a: & b", "line 1, column 5: an anchor (&) without a name"),
        ("a: *", "line 1, column 5: an alias (*) without a name"),
        ("%YAML 9.9\n---\na: 1", "line 1, column 1: a version of YAML that is not known"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document begins here (keep one job a file)"),
        ("a: *x", "line 1, column 4: this alias (*) has no anchor (&) above it"),
        ("a: &x [*x]", "line 1, column 8: this alias (*) stands within the value that it means"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4: tags (!) have no meaning in a job"),
        ("a: !x 1", "line 1, column 4: tags (!) have no meaning in a job"),
        ("a: !!set {b}", "line 1, column 4: tags (!) have no meaning in a job"),
        ("a: !!str [b]", "line 1, column 4: tags (!) have no meaning in a job"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "line 3, column 3: merge keys (<<) are not part of YAML 1.2"),
        ("[a]: 1", "line 1, column 1: a mapping or a list cannot be a key"),
        ("a: &x b\n*x : 1", "line 2, column 1: an alias (*) cannot be a key"),
        ("a: \x07", "line 1, column 4: the character U+0007 may not stand in YAML"),
        ("a: \ud800", "line 1, column 4: the character U+D800 may not stand in YAML"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("_parser")
def test_text_that_is_no_yaml_document_is_refused_in_plain_words(text: str, beginning: str) -> None:
    assert problem_of(text).startswith(beginning)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\nb: 2\na: 3",
            ["line 3, column 1: a: the key 'a' stands twice (it first stands in line 1; keep one)"],
        ),
        (
            "l:\n- {}\n- {b: 1, b: 2}",
            ["line 3, column 10: l[1].b: the key 'b' stands twice (it first stands in line 3; keep one)"],
        ),
        ("1: a", ['line 1, column 1: 1: the key 1 is no text (write it in quotes: "1")']),
        ("a: {true: 1}", ['line 1, column 5: a.true: the key true is no text (write it in quotes: "true")']),
        ("a: !!int x", ["line 1, column 4: a: the tag !!int does not fit its value"]),
        ("a: !!float true", ["line 1, column 4: a: the tag !!float does not fit its value"]),
        (f"a: 1{'0' * 5000}", ["line 1, column 4: a: a whole number of 5001 digits is too long"]),
    ],
)  # fmt: skip
def test_reading_goes_on_after_a_mistake_that_it_can_step_over(text: str, expected: list[str]) -> None:
    _, problems = read_yaml(text, "the job")
    assert [str(problem) for problem in problems] == expected


def test_mistakes_of_the_yaml_and_of_the_job_are_told_together() -> None:
    with pytest.raises(SpecError) as caught:
        TuningJob.from_yaml("name: a\nname: b\n7: x\nretries: -1\n")
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (1, "trial"),
        (1, "objective"),
        (1, "space"),
        (2, "name"),
        (3, "7"),
        (4, "retries"),
    ]


@pytest.mark.usefixtures("_parser")
def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    began = time.thread_time()
    assert f"the aliases stand for more than {MAX_ALIASED} values" in problem_of("\n".join(lines))
    assert time.thread_time() - began < 2  # of computing, however busy the machine is


def test_aliases_within_the_bound_are_read() -> None:
    node, _ = read_yaml(f"a: &a [{', '.join('x' * 99)}]\nb: [{', '.join(['*a'] * 100)}]", "the job")
    assert node.size == 1 + 100 + 1 + 100 * 100
    assert len(node.value["b"]) == 100


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
@pytest.mark.usefixtures("_parser")
def test_deep_nesting_is_refused(opening: str) -> None:
    began = time.thread_time()
    assert f"deeper than {MAX_DEPTH} levels" in problem_of(opening * 100_000)
    assert time.thread_time() - began < 2  # of computing, however busy the machine is


def test_nesting_is_counted_through_aliases() -> None:
    text = "a: &a " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*a" + "]" * 30
    assert f"deeper than {MAX_DEPTH} levels" in problem_of(text)
    assert read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "the job")[0].height == MAX_DEPTH


def test_a_document_over_the_size_is_refused(tmp_path: Path) -> None:
    assert problem_of("# " + "x" * MAX_BYTES) == "the document is larger than 1 MiB"
    assert problem_of("# " + "é" * (MAX_BYTES // 2)) == "the document is larger than 1 MiB"
    path = tmp_path / "job.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(SpecError, match=r"job\.yaml has 1 problem:\n  the document is larger than 1 MiB"):
        TuningJob.from_yaml(path)


@given(text=st.text(alphabet="ab:-[]{}&*!|>'\"%@#?,.~<= \n\t\\01", max_size=40))
@settings(max_examples=examples(400), deadline=None)
def test_any_text_is_a_job_or_a_spec_error(text: str) -> None:
    with pytest.raises(SpecError):
        TuningJob.from_yaml(text)


@given(content=st.binary(max_size=60))
@settings(max_examples=examples(100), deadline=None)
def test_any_file_is_a_job_or_a_spec_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError):
        TuningJob.from_yaml(path)
