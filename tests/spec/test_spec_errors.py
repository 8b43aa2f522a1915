"""What a person reads who made a mistake in a job."""

from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.errors import SpecError
from cloudtune.spec.job import TuningJob
from cloudtune.testing.specs import jobs

START = """\
name: digits
trial: {command: python train.py}
objective: {metric: accuracy, goal: maximize}
limits: {trials: 10}
"""
SPACE = "space: {x: {type: float, low: 0, high: 1}}\n"


def problems_of(text: str) -> list[str]:
    """Every problem of a YAML text, as it is printed."""
    with pytest.raises(SpecError) as caught:
        TuningJob.from_yaml(text)
    return [str(problem) for problem in caught.value.problems]


def data(**fields: Any) -> dict[str, Any]:
    """A job that is fine but for the given fields."""
    return {
        "name": "digits",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "accuracy", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 10},
        **fields,
    }


def problems_of_data(**fields: Any) -> list[str]:
    """Every problem of plain data, as it is printed."""
    with pytest.raises(SpecError) as caught:
        TuningJob.from_data(data(**fields))
    return [str(problem) for problem in caught.value.problems]


TOP_LEVEL_KEYS = (
    "name, trial, objective, constraints, metrics, space, require, strategy, first, stopping, limits, retries, warm_start, confirm, mode, strict, "
    "compute, data, output, network, region, identity, encryption, notify, tags, native, azureml, databricks, kubernetes, local, "
    "mixed, ray, sagemaker, slurm, vertex"
)
JARGON = ("Input should", "Value error", "constrained-str", "dict[", "union", "extra_forbidden", "Tuple")
KINDS = "float, int, categorical, ordinal, constant, normal, lognormal"


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("strateg: {}", 1, "strateg: unknown key 'strateg' (did you mean 'strategy'?)"),
        ("qqq: 1", 1, f"qqq: unknown key 'qqq' (the keys here are: {TOP_LEVEL_KEYS})"),
        ("instance: big", 1, "instance: unknown key 'instance' (it belongs under 'compute')"),
        ("compute: {instnce: m}", 11, "compute.instnce: unknown key 'instnce' (did you mean 'instance'?)"),
        ("strategy: {type: grid, seed: 1}", 24, "strategy.seed: unknown key 'seed' (the keys here are: type, levels)"),
        ("strategy: {type: baysian}", 18, "strategy.type: 'baysian' is no type of strategy (did you mean 'bayesian'?)"),
        (
            "strategy: {seed: 1}",
            1,
            (
                "strategy.type: 'type' is missing "
                "(the types are: auto, grid, random, sobol, bayesian, hyperband, evolutionary, population, optuna, hyperopt)"
            ),
        ),
        ("strategy: sobol", 11, "strategy: must be a mapping (key: value), not the text 'sobol' (write {type: sobol})"),
        ("strategy: {type: hyperband}", 1, "strategy.max_resource: 'max_resource' is missing"),
        (
            "stopping: {type: 3}",
            18,
            (
                "stopping.type: the number 3 is no type of stopping rule "
                "(the types are: median, bandit, truncation, curve, asha, auto)"
            ),
        ),
        ("stopping: {type: truncation, percentage: 100}", 42, "stopping.percentage: must be at most 99, not 100"),
        ("stopping: {type: bandit}", 1, "stopping: needs one of slack_factor and slack_amount, not both"),
        ("retries: -1", 10, "retries: must be at least 0, not -1"),
        ("retries: 1.5", 10, "retries: must be a whole number, not the number 1.5"),
        ("retries: '3'", 10, "retries: expected a number, not the text '3'; take the quotes away"),
        ("retries: .inf", 10, "retries: must be a finite number, not the number inf"),
        ("strict: maybe", 9, "strict: must be true or false, not the text 'maybe'"),
        (
            "mode: drivn",
            7,
            "mode: must be 'auto', 'managed' or 'driven', not the text 'drivn' (did you mean 'driven'?)",
        ),
        ("tags: {team: 7}", 14, "tags.team: must be a text, not the number 7 (put it in quotes)"),
        ("tags: {'': x}", 8, "tags.: is an empty key"),
        ("tags: [team]", 1, "tags: must be a mapping (key: value), not a list"),
        ("output: ''", 9, "output: is an empty text"),
        ("output: {}", 1, "output: is empty (give at least one, or take it away)"),
        ("output: 3", 9, "output: must be a text or a mapping from providers to texts, not the number 3"),
        ("output: {vertex: 3}", 18, "output.vertex: must be a text, not the number 3 (put it in quotes)"),
        ("data: {train: ''}", 15, "data.train: is an empty text"),
        ("warm_start: [1]", 14, "warm_start.runs[0]: must be a text, not the number 1 (put it in quotes)"),
        ("warm_start: {kind: transfer}", 1, "warm_start: names nothing to learn from; give runs, a table, or both"),
        (
            "compute: {accelerators: 'T4:0'}",
            11,
            "compute.accelerators.count: must be a whole number from 1, or a part of one from 0.01, such as 0.5; not 0",
        ),
        ("compute: {cpus: 0}", 17, "compute.cpus: must be above 0, not 0"),
        ("compute:", 9, "compute: must be a mapping (key: value), not null"),
        (
            "compute: {disk: much}",
            17,
            (
                "compute.disk: 'much' is not a size; "
                'write a size as bytes, "512MB", "50GB" (powers of 1000) or "8GiB" (powers of 1024)'
            ),
        ),
        ("network: {subnets: a}", 20, "network.subnets: must be a list, not the text 'a'"),
        ("network: {subnets: [a, {}]}", 24, "network.subnets[1]: must be a text, not a mapping"),
        (
            "metrics: {loss: '('}",
            1,
            (
                "metrics: the regex of 'loss' is not a regular expression: "
                "missing ), unterminated subpattern at position 0"
            ),
        ),
        (
            "compute: {instance: {local: 3}}",
            29,
            "compute.instance.local: must be a text or a list of texts, not the number 3",
        ),
        (
            "strategy: {type: bayesian, prior: {lr: {around: [1]}}}",
            41,
            "strategy.prior.lr.around: must be true or false, a number or a text, not a list",
        ),
        (
            "strategy: {type: bayesian, prior: {lr: {around: 1, spread: wide}}}",
            60,
            (
                "strategy.prior.lr.spread: write a factor above 1 such as 3x, "
                "or a number in the parameter's own unit, not 'wide'"
            ),
        ),
        (
            "strategy: {type: bayesian, prior: {lr: {around: 1, spread: -1}}}",
            60,
            "strategy.prior.lr.spread: must be above 0, not -1",
        ),
        ("first: [{lr: [1]}]", 10, "first[0].lr: must be true or false, a number or a text, not a list"),
        ("native: {mine: 3}", 16, "native.mine: must be a mapping (key: value), not the number 3"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_to_do(line: str, column: int, problem: str) -> None:
    assert problems_of(START + SPACE + line + "\n") == [f"line 6, column {column}: {problem}"]


@pytest.mark.parametrize(
    ("entry", "column", "problem"),
    [
        ("lr: {type: flot}", 14, "space.lr.type: 'flot' is no type of parameter (did you mean 'float'?)"),
        ("lr: {low: 1}", 3, f"space.lr.type: 'type' is missing (the types are: {KINDS})"),
        (
            "lr: 3",
            7,
            "space.lr: must be a mapping (key: value), not the number 3 (write {type: constant, value: 3} for a fixed value)",
        ),
        ("lr: {type: float, low: a, high: 1}", 26, "space.lr.low: expected a number, not the text 'a'"),
        ("lr: {type: float, low: 2, high: 1}", 3, "space.lr: low 2.0 is above high 1.0; swap them"),
        ("lr: {type: float, low: 0}", 3, "space.lr.high: 'high' is missing"),
        ("lr: {type: float, low: 0, high: 1, min: 0}", 38, "space.lr.min: unknown key 'min' (it is called 'low' here)"),
        (
            "lr: {type: categorical, values: [1, 2], choices: [1, 2]}",
            43,
            "space.lr.choices: unknown key 'choices' (it is called 'values' here)",
        ),
        (
            "lr: {type: float, low: 0, high: 1, one: 2}",
            38,
            "space.lr.one: unknown key 'one' (the keys here are: when, scale, type, low, high, step)",
        ),
        (
            "lr: {type: float, low: 0, high: 1, float: 2}",
            38,
            "space.lr.float: unknown key 'float' (the keys here are: when, scale, type, low, high, step)",
        ),
        (
            "lr: {type: int, low: 1, high: 9, scale: lg}",
            43,
            "space.lr.scale: must be 'linear' or 'log', not the text 'lg' (did you mean 'log'?)",
        ),
        ("lr: {type: float, low: 1, high: .inf}", 35, "space.lr.high: must be a finite number, not the number inf"),
        (
            "lr: {type: float, low: 1, high: 1" + 320 * "0" + "}",
            35,
            "space.lr.high: a whole number of 321 digits is too long",
        ),
        ("k: {type: categorical, values: []}", 26, "space.k.values: is empty (give at least one, or take it away)"),
        (
            "k: {type: categorical, values: [[1], a]}",
            35,
            "space.k.values[0]: must be true or false, a number or a text, not a list",
        ),
        (
            "k: {type: categorical, values: [.nan]}",
            35,
            "space.k.values[0]: must be a finite number, not the number nan",
        ),
        (
            "k: {type: constant, value: {bool: 1}}",
            23,
            "space.k.value: must be true or false, a number or a text, not a mapping",
        ),
        ("k: {type: categorical, values: [1, 1.0]}", 3, "space.k: the value 1.0 stands twice"),
        (
            "k: [{type: constant, value: 1}]",
            3,
            ("space.k: a list under a name needs at least 2 variants (write a single parameter without the list)"),
        ),
        ("k: [{type: float, low: 1, high: 2}, 3]", 39, "space.k[1]: must be a mapping (key: value), not the number 3"),
        ("k: [{type: int, low: 1, high: 2, step: 0}, {type: auto}]", 42, "space.k[0].step: must be at least 1, not 0"),
        (
            "a b: {type: constant, value: 1}",
            3,
            (
                "space.a b: 'a b' cannot be the name of a parameter "
                "(leave out spaces, { } and =, and do not begin with -)"
            ),
        ),
        (
            "k: {type: constant, value: 1, when: {x: []}}",
            40,
            "space.k.when.x: is empty (give at least one, or take it away)",
        ),
        (
            "k: {type: constant, value: 1, when: {}}",
            33,
            "space.k.when: names no parent; leave it out, or write {parent: value}",
        ),
        ("k: {type: constant, value: 1, when: {a: 1}}", 43, "space.k.when.a: the space has no parameter 'a'"),
        ("a.b: {type: constant, value: 1, when: {c.d: 1}}", 47, "space.a.b.when.c.d: the space has no parameter 'c.d'"),
        (
            "'7': {type: constant, value: 1, when: {'a[0]': 1}}",
            50,
            "space.7.when.a[0]: the space has no parameter 'a[0]'",
        ),
    ],
)
def test_a_mistake_in_the_space_is_told_without_the_names_of_unions(entry: str, column: int, problem: str) -> None:
    assert problems_of(f"{START}space:\n  {entry}\n")[0] == f"line 6, column {column}: {problem}"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text() -> None:
    text = """\
name: not a name
objective: {metric: accuracy}
space:
  lr: {type: float, low: 0, hihg: 1}
limits: {trials: 0, time: soon}
"""
    assert problems_of(text) == [
        "line 1, column 1: trial: 'trial' is missing",
        (
            "line 1, column 7: name: 'not a name' cannot be the name of a job "
            "(use up to 63 letters, digits, - and _, with a letter or digit at both ends)"
        ),
        "line 2, column 1: objective[0].goal: 'goal' is missing",
        "line 4, column 3: space.lr.high: 'high' is missing",
        "line 4, column 29: space.lr.hihg: unknown key 'hihg' (did you mean 'high'?)",
        "line 5, column 18: limits.trials: must be at least 1, not 0",
        (
            "line 5, column 27: limits.time: 'soon' is not a duration; write a duration as seconds, "
            '"90s", "20m", "2h", "1h30m", "1d" or ISO 8601 "PT20M"'
        ),
    ]


def test_mistakes_between_parts_point_at_the_part_that_can_be_changed() -> None:
    text = """\
name: digits
trial: {command: python train.py}
objective:
- {metric: accuracy, goal: maximize}
- {metric: accuracy, goal: minimize}
space:
  x: {type: float, low: 0, high: 1}
strategy: {type: hyperband, max_resource: 9}
stopping: {type: median}
limits: {target: 3}
"""
    assert problems_of(text) == [
        "line 5, column 12: objective[1].metric: the metric 'accuracy' is an objective already",
        "line 9, column 1: stopping: hyperband stops trials itself; take the stopping rule away",
        "line 10, column 1: limits.trials: how many trials? A hyperband search has no end of its own",
        "line 10, column 18: limits.target: a target needs a single objective",
    ]


def test_data_without_a_text_has_paths_but_no_lines() -> None:
    assert problems_of_data(objective=[{"metric": "a", "goal": "max"}], retries=True) == [
        "objective[0].goal: must be 'maximize' or 'minimize', not the text 'max' (did you mean 'maximize'?)",
        "retries: expected a number, not true",
    ]


@pytest.mark.parametrize("value", [None, 3, "text", [1], b"bytes"])
def test_data_that_is_no_mapping_is_refused(value: object) -> None:
    with pytest.raises(SpecError, match="must be a mapping"):
        TuningJob.from_data(value)


def test_keys_and_values_that_yaml_cannot_hold_are_refused_in_data() -> None:
    assert problems_of_data(tags={1: "x"}) == ["tags.1: must be a text, not the number 1 (put it in quotes)"]
    assert problems_of_data(sagemaker={"a": [{"b": {1, 2}}]}) == [
        "sagemaker.a[0].b: must be plain data, such as JSON has, not a value of type set"
    ]
    assert problems_of_data(native={"mine": {"a": {"b": object()}}}) == [
        "native.mine.a.b: must be plain data, such as JSON has, not a value of type object"
    ]


def test_what_no_program_can_be_given_is_refused_before_any_trial_is() -> None:
    nul = "holds a NUL character, which no program can be given; take it away"
    assert problems_of_data(trial={"command": ["x", "a\0b"]}) == [f"trial.command[1]: {nul}"]
    assert problems_of_data(space={"x": {"type": "categorical", "values": ["a\0b", "c"]}}) == [
        f"space.x.values[0]: {nul}"
    ]
    assert problems_of_data(trial={"command": "x", "environment": {"A=B": "c"}}) == [
        "trial.environment.A=B: the name of a variable must be a text that is not empty, without = and NUL characters",
    ]
    assert problems_of_data(trial={"command": "x", "environment": {"C": "d\0"}}) == [
        "trial.environment.C: must be a text or a number, without NUL characters (write other values in quotes)"
    ]


def test_the_source_is_named() -> None:
    with pytest.raises(SpecError, match=r"^the job of run 7 has 1 problem:\n  retries: ") as caught:
        TuningJob.from_data(data(retries=-1), "the job of run 7")
    assert caught.value.source == "the job of run 7"


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(START)
    with pytest.raises(SpecError, match=r"job\.yaml has 1 problem:\n  line 1, column 1: space: 'space' is missing"):
        TuningJob.from_yaml(path)


def test_the_name_of_a_file_is_not_taken_for_a_job() -> None:
    assert problems_of("job.yaml") == [
        ("line 1, column 1: must be a mapping (key: value), not the text 'job.yaml' (give a Path to read a file)")
    ]


def test_a_command_of_no_words_is_refused() -> None:
    assert problems_of_data(trial={"command": []}) == ["trial.command: is empty (give at least one, or take it away)"]


SECRET = "hunter2-swordfish"


@pytest.mark.parametrize(
    "environment",
    [
        f"[{SECRET}]",
        f"{SECRET}",
        f"{{TOKEN: [{SECRET}]}}",
        f"{{TOKEN: {{{SECRET}: {SECRET}}}}}",
        f"{{TOKEN: {SECRET}, BAD: true, '': {SECRET}}}",
        f"{{TOKEN: *{SECRET}}}",
        f"{{TOKEN: !{SECRET} x}}",
        f"{{TOKEN: !a!{SECRET} x}}",
        f"{{TOKEN: {SECRET}, TOKEN: {SECRET}}}",
        f"{{TOKEN: '{SECRET}}}",
        f'{{TOKEN: "\\{SECRET}"}}',
        f"{{TOKEN: @{SECRET}}}",
        f"{{TOKEN: {SECRET}: {SECRET}}}",
        f"{{TOKEN: {SECRET}",
    ],
)
def test_no_error_tells_a_value_of_the_environment(environment: str) -> None:
    text = f"{START}{SPACE}trial: {{command: x, environment: {environment}}}\n".replace(
        "trial: {command: python train.py}\n", ""
    )
    with pytest.raises(SpecError) as caught:
        TuningJob.from_yaml(text)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(job=jobs(), value=st.sampled_from([None, -1, 0.5, "", "?", True, [], {}, [[]], {"?": {}}]), pick=st.randoms())
@settings(max_examples=examples(150), deadline=None)
def test_whatever_is_broken_the_error_is_in_plain_words_and_leads_to_its_place(
    job: TuningJob, value: Any, pick: Any
) -> None:
    broken: Any = job.to_data()
    inner = broken
    while True:  # replace one value somewhere
        key = pick.choice(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
        if isinstance(inner[key], dict | list) and inner[key] and pick.random() < 0.8:
            inner = inner[key]
            continue
        inner[key] = value
        break
    try:
        TuningJob.from_data(broken)
    except SpecError as error:
        for problem in error.problems:
            assert problem.path
            words = f"{problem.message} {problem.hint}"
            for jargon in JARGON:
                assert jargon not in words
            assert not {"one", "variants"} & set(problem.path.split(".")[2:])
