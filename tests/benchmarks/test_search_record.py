"""The record's harness: paired runs of peers in processes of their own, kept as data that a kill does not lose."""

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RECORD = Path(__file__).parents[2] / "benchmarks" / "search" / "record"
MODULES = ("peers", "fidelity_peers", "catalogue", "groups", "running", "tables", "page", "keeping")
SPACE = [
    {"name": "x", "type": "float", "low": -1.0, "high": 1.0, "log": False},
    {"name": "n", "type": "int", "low": 1, "high": 9, "log": True},
    {"name": "o", "type": "ordinal", "values": [1, 2, 4]},
    {"name": "k", "type": "categorical", "values": ["a", "b"]},
]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(RECORD))
    found = {name: importlib.import_module(name) for name in MODULES}
    groups: Any = found["groups"]

    def make(name: str) -> Any:
        return groups.Task(SPACE, lambda values: values["x"] ** 2 + 0.1 * values["n"] + (values["k"] == "a"))

    monkeypatch.setitem(groups.GROUPS, "made up", groups.Group(lambda: ["one", "two"], make, 6))
    yield found
    for name in MODULES:
        sys.modules.pop(name, None)


def cases(record: dict[str, Any], **about: Any) -> list[Any]:
    told = {"group": "made up", "variant": "plain", "parallel": 2, **about}
    return [record["running"].Case(task=task, seed=0, peer=peer, **told) for task in ("one", "two") for peer in ("cloudtune", "random")]  # fmt: skip


def test_a_record_that_was_killed_goes_on_and_runs_nothing_twice(record: dict[str, Any], tmp_path: Path) -> None:
    running, path = record["running"], tmp_path / "record.jsonl"
    told = list(running.run_all(cases(record), path, tmp_path, time.monotonic() + 99, None))
    assert len(told) == 4
    whole = path.read_text().splitlines()
    path.write_text("\n".join([*whole[:3], whole[3][:40]]))  # the last line was being written
    (again,) = running.run_all(cases(record), path, tmp_path, time.monotonic() + 99, None)
    assert again.startswith("random on two")
    lines = running.kept(path)
    assert [line["reached"] for line in lines] == [json.loads(line)["reached"] for line in whole]
    assert all(len(line["reached"]) == 6 and line["reached"] == sorted(line["reached"], reverse=True) for line in lines)
    assert list(running.run_all(cases(record), path, tmp_path, time.monotonic() - 1, None)) == []
    late = list(running.run_all(cases(record, variant="noisy"), path, tmp_path, time.monotonic() - 1, None))
    assert late == ["out of time"]
    written = record["page"].write(lines, tmp_path / "page.md", tmp_path / "picture.svg")
    text = written[0].read_text(encoding="utf-8")
    assert "## made up, 2 in flight\n\n6 trials, 2 pairs of a task and a seed." in text
    assert "| random |" in text
    assert written[1].read_text(encoding="utf-8").startswith("<svg")


def test_runs_of_different_lengths_are_compared_at_what_they_have_in_common(record: dict[str, Any]) -> None:
    tables = record["tables"]
    about = {"group": "g", "variant": "plain", "parallel": 1, "task": "t", "seed": 0}
    lines = [
        {**about, "peer": "cloudtune", "reached": [3.0, 1.0, 0.0]},
        {**about, "peer": "cloudtune", "reached": [3.0, 1.0]},
        {**about, "peer": "HEBO", "reached": [2.0, 2.0]},
        {**about, "peer": "Ax", "reached": [2.0, 0.0]},
        {**about, "peer": "Ax", "reached": [2.0, 4.0, 4.0]},
    ]
    short, whole = (next(iter(tables.blocks(tables.seen(lines, at)).values())) for at in (2, None))
    assert short["t", 0] == {"cloudtune": 1.0, "HEBO": 2.0, "Ax": 4.0}
    more = [{**line, "seed": seed} for seed in (1, 2) for line in lines[1:]]
    often = next(iter(tables.blocks(tables.seen(lines + more)).values()))
    assert often["t", 1] == {"cloudtune": 1.0, "HEBO": 2.0, "Ax": 4.0}, "most runs of ours have two trials"
    assert whole["t", 0] == {"cloudtune": 0.0, "Ax": 4.0}, "shorter runs than the longest are left out"
    planned = next(iter(tables.blocks(tables.seen(lines[:1] + lines[2:], 2)).values()))
    assert planned["t", 0] == {"HEBO": 2.0, "Ax": 4.0}, "ours starts otherwise where it knows that it has three"
    assert {line["peer"] for line in tables.seen(lines, 1, ["Ax"])} == {"Ax"}
    found, count = tables.ranks(short | {("u", 0): {"cloudtune": 3.0, "HEBO": 2.0, "Ax": 1.0}})
    assert count == 2
    assert found["cloudtune"] == pytest.approx((2.0, 1.0)), "ranks 1 and 3: the mean, and its standard error"


def test_a_peer_with_few_runs_is_compared_and_not_ranked(record: dict[str, Any]) -> None:
    block = {("t", seed): {"cloudtune": 1.0, "HEBO": 2.0} | ({"Vizier": 0.0} if seed == 0 else {}) for seed in range(4)}
    found, count = record["tables"].ranks(block)
    assert count == 4
    assert found == {"cloudtune": (1.0, 0.0), "HEBO": (2.0, 0.0)}
    assert record["tables"].versus(block, "cloudtune", "Vizier")[:2] == (0, 1)


def test_what_is_kept_with_the_code_says_the_same(record: dict[str, Any], tmp_path: Path) -> None:
    running, keeping, path = record["running"], record["keeping"], tmp_path / "record.jsonl"
    list(running.run_all(cases(record, variant="failing"), path, tmp_path, time.monotonic() + 99, None))
    lines, kept = running.kept(path), tmp_path / "kept.jsonl"
    kept.write_text(keeping.pack([*lines, lines[0]]), encoding="utf-8")
    again = {running.key(line): line for line in keeping.unpack(kept)}
    assert len(again) == len(keeping.unpack(kept)) == 4
    for line in lines:
        found = again[running.key(line)]
        assert found.keys() == line.keys()
        assert found["reached"] == pytest.approx(line["reached"], rel=1e-5)
        assert found["versions"] == line["versions"]
    assert keeping.pack(keeping.unpack(kept)) == kept.read_text(encoding="utf-8")


def test_the_page_of_the_documentation_is_that_of_the_kept_data(record: dict[str, Any]) -> None:
    docs, kept = RECORD.parents[2] / "docs", record["keeping"].unpack(RECORD / "kept.jsonl")
    lines = record["tables"].seen(kept)
    assert (docs / "how-it-works" / "record.md").read_text(encoding="utf-8") == record["page"].text(lines)
    assert (docs / "pictures" / "record.svg").read_text(encoding="utf-8") == record["page"].picture(lines)


def test_scores_lie_between_chance_and_the_best_that_any_peer_has_seen(record: dict[str, Any]) -> None:
    tables = record["tables"]
    about = {"group": "g", "variant": "plain", "parallel": 1, "seed": 0}
    lines = [
        {**about, "task": task, "peer": peer, "reached": [end * scale], **({"drawn": [9.0, 3 * scale, 2 * scale, 0.0]} if peer == "random" else {})}
        for task, scale in (("t", 1.0), ("u", 2.0))
        for peer, end in (("cloudtune", 0.5), ("HEBO", 1.0), ("random", 4.0))
    ]  # fmt: skip
    block = next(iter(tables.blocks(lines).values()))
    assert {peer: mean for peer, (mean, _) in tables.scores(lines, block).items()} == pytest.approx(
        {"cloudtune": 80.0, "HEBO": 60.0, "random": 0.0}
    )
    assert tables.scores([line for line in lines if line["peer"] != "random"], block) == {}


def test_a_peer_that_is_not_there_is_a_line_that_says_so(record: dict[str, Any], tmp_path: Path) -> None:
    running, path = record["running"], tmp_path / "record.jsonl"
    case = running.Case("made up", "one", "plain", 1, 0, "HEBO")
    (told,) = running.run_all([case], path, tmp_path, time.monotonic() + 9, None)
    assert "No such file" in told
    assert "1 runs broke: HEBO" in record["page"].text(running.kept(path))


def test_rounds_end_at_once(record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = requests_of(record, monkeypatch)
    record["running"].run(cases(record, variant="rounds", parallel=3)[1], tmp_path, tmp_path / "log")
    assert said == ["new", *["ask"] * 3, *["tell"] * 3, *["ask"] * 3]


def test_what_is_followed_has_so_many_epochs_and_goes_on_where_it_paused(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, trained = record["groups"], []

    def curve(values: Any, seed: int) -> Iterator[float]:
        for epoch in range(1, 28):
            trained.append((seed, epoch))
            yield values["x"] ** 2 + 1 / epoch

    def make(_: str) -> Any:
        return groups.Task(SPACE, lambda values: values["x"] ** 2 + 1 / 27, curve)

    monkeypatch.setitem(groups.GROUPS, "followed", groups.Group(lambda: ["one"], make, 4, follows=True))
    for peer in ("cloudtune hyperband", "random, whole trials"):
        trained.clear()
        line = record["running"].run(
            record["running"].Case("followed", "one", "plain", 2, 0, peer), tmp_path, tmp_path / "log"
        )
        assert len(trained) == 4 * 27
        assert len(set(trained)) == len(trained), "no epoch twice"
        assert len(line["reached"]) == 4
        assert line["reached"][-1] is not None
        assert line["reached"][-1] >= 1 / 27
    assert {epoch for _, epoch in trained} == set(range(1, 28)), "whole trials"


def requests_of(record: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which what a peer is asked to do is added."""
    said: list[str] = []
    asked = record["running"].Worker.request

    def request(self: Any, **about: Any) -> Any:
        said.append(about["do"])
        return asked(self, **about)

    monkeypatch.setattr(record["running"].Worker, "request", request)
    return said


def test_variants_are_the_same_for_every_peer(record: dict[str, Any]) -> None:
    groups = record["groups"]
    task = groups.GROUPS["made up"].make("one")
    source = record["peers"].Random(SPACE, 1, 200, 1)
    some = [source.ask()[1] for _ in range(200)]
    failing = groups.Varied(task, groups.VARIANTS["failing"], "one", 0)
    failed = [failing.truth(values) is None for values in some]
    assert 0.02 < sum(failed) / len(failed) < 0.6
    assert failed == [
        groups.Varied(task, groups.VARIANTS["failing"], "one", 7).truth(values) is None for values in some
    ]
    one, other = (groups.Varied(task, groups.VARIANTS["noisy"], "one", 0) for _ in range(2))
    assert [one.observed(1.0) for _ in range(5)] == [other.observed(1.0) for _ in range(5)]
    control = groups.Varied(task, groups.VARIANTS["control"], "one", 0)
    assert len({control.truth(values) for values in some}) == len({repr(sorted(values.items())) for values in some})


def test_halves_are_about_equal_and_follow_from_the_name(record: dict[str, Any]) -> None:
    names = [f"bbob f{function} {size}d" for function in range(1, 25) for size in (2, 5, 10, 20)]
    share = sum(record["groups"].half(name) == "design" for name in names) / len(names)
    assert 0.4 < share < 0.6
