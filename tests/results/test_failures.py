"""Which failures are of one kind."""

import pytest

from cloudtune.results.failures import Failures, kind_of
from cloudtune.space.parameters import Scalar

Trials = list[tuple[str, dict[str, Scalar]]]


@pytest.mark.parametrize(
    "trials",
    [
        [("train.py: unrecognized arguments: --lr 0.1 --kernel rbf", {"lr": 0.1, "kernel": "rbf"}),
         ("train.py: unrecognized arguments: --lr 3e-05 --kernel poly --degree 3", {"lr": 3e-5, "kernel": "poly", "degree": 3})],
        [("exit code 2: unknown arg --lr=0.1", {"lr": 0.1}), ("exit code 2: unknown arg --lr=0.25", {"lr": 0.25})],
        [("KeyError: 'Adam'", {"opt": "Adam"}), ("KeyError: 'SGD'", {"opt": "SGD"})],
        [("cannot open /tmp/a1/x", {}), ("cannot open /tmp/b2/x", {})],
        [("cannot open s3://a/b1?sig=Zx%2f", {}), ("cannot open s3://a/other/b22?sig=q", {})],
        [("no route to 10.1.2.3:4711", {}), ("no route to 10.11.22.33:80", {})],
        [("2026-11-28T08:12:33.120Z lost", {}), ("2026-11-28T09:02:03+00:00 lost", {}), ("2026-11-28 09:02:03,77 lost", {})],
        [("mat1 and mat2 cannot be multiplied (32x10 and 20x5)", {}), ("mat1 and mat2 cannot be multiplied (64x128 and 20x5)", {})],
        [("bad shape (3, 4)", {}), ("bad shape (3,)", {}), ("bad shape [3, 4, 5]", {})],
        [("fit(shuffle=True, x=None) fails", {"shuffle": True, "x": None}), ("fit(shuffle=False, x=None) fails", {"shuffle": False, "x": None})],
        [("0x7f3a1 is gone, a-10 ns", {}), ("0x7f99b1 is gone, a-2.5e3 ns", {})],
        [("exit code 1:\0 at 0x1\0", {}), ("exit code 1:\0 at 0x2\0", {})],
    ],
)  # fmt: skip
def test_reasons_that_differ_by_their_trials_values_are_of_one_kind(trials: Trials) -> None:
    assert len({kind_of(reason, parameters) for reason, parameters in trials}) == 1
    failures = Failures()
    assert [failures.add(number, *trial) for number, trial in enumerate(trials)] == [True] + [False] * (len(trials) - 1)
    assert failures.alike_so_far == len(trials)


@pytest.mark.parametrize(
    "trials",
    [
        [("exit code 1", {"code": 1}), ("exit code 2", {"code": 2})],
        [("KeyError: 'momentum'", {"opt": "Adam"}), ("KeyError: 'nesterov'", {"opt": "SGD"})],
        [("no module named a1", {}), ("no module named b1", {})],
        [("fit(shuffle=True) fails", {}), ("fit(shuffle=False) fails", {})],
        [("unrecognized arguments: --lr 0.1", {"lr": 0.1}), ("the learning rate is too high", {"lr": 0.9})],
    ],
)
def test_other_reasons_are_other_kinds(trials: Trials) -> None:
    assert len({kind_of(reason, parameters) for reason, parameters in trials}) == len(trials)


def test_the_name_of_a_trials_job_makes_no_kind_of_its_own() -> None:
    failures = Failures()
    for number, name in enumerate(("line-kzq-x7k2p", "line-bcd-qqxkv", "line-kzq-ppqq")):
        failures.add(number, f"pod {name}-wvxyz was evicted", {}, f"kubernetes:{name}")
    assert failures.alike_so_far == 3
    assert kind_of("pod was evicted", {}, "kubernetes:pod") == "pod was evicted"


def test_values_that_mean_something_to_a_pattern_and_long_reasons_are_no_trouble() -> None:
    hostile: dict[str, Scalar] = {"a(+": "[x", "b": "\\", "c": ""}
    assert kind_of("[x failed \\", hostile) == kind_of("[x failed \\", hostile)
    many: dict[str, Scalar] = {f"parameter_{number}": 0.5 for number in range(80)}
    options = " ".join(f"--{name} {value}" for name, value in many.items())
    assert kind_of(f"unrecognized: {options} and no more", many).endswith("and no more")
