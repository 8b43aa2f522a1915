"""What is a difference between the answers of a service and of its emulator, and what is none."""

from datetime import UTC, datetime
from typing import Any

from cloudtune.provider.answers import Answer
from cloudtune.verify.comparison import Difference, differences, report


def ok(data: Any, operation: str = "Describe") -> Answer:
    return Answer(operation, "", data)


def found(service: list[Answer], emulator: list[Answer]) -> list[tuple[str, str, str]]:
    return [(each.what, each.service, each.emulator) for each in differences(service, emulator)]


def test_values_names_and_times_are_no_differences() -> None:
    there = ok({"Arn": "arn:aws:1", "Made": datetime.now(UTC), "Count": 3, "Tags": {"job-123456": "a"}})
    here = ok({"Arn": "arn:aws:2", "Made": "2026-01-01T00:00:00Z", "Count": 0.5, "Tags": {"job-987654": "b"}})
    assert found([there], [here]) == []


def test_keys_that_one_side_lacks() -> None:
    there, here = ok({"a": {"b": {"c": 1}}, "x": 1}), ok({"a": {}, "y": [1]})
    assert found([there], [here]) == [
        ("a.b", "object", "not there"),
        ("x", "number", "not there"),
        ("y", "not there", "list"),
    ]


def test_what_the_emulator_shows_on_the_way_alone_is_no_difference() -> None:
    way, end = {"Status": "Starting", "Hint": "x"}, {"Status": "Done"}
    assert found([ok(end)], [ok(way), ok(end)]) == []
    assert found([ok(way), ok(end)], [ok(end)]) == [("Hint", "text", "not there")]


def test_types() -> None:
    assert found([ok({"a": 1}), ok({"a": None})], [ok({"a": "1"})]) == [("a", "nothing or number", "text")]
    assert found([ok({"l": [{"a": 1}, {"a": True}]})], [ok({"l": [{"a": 2}, {"a": False}]})]) == []


def states(*values: str) -> list[Answer]:
    return [ok({"State": value}) for value in values]


def test_states_in_their_order() -> None:
    emulator = states("Queued", "Running", "Done")
    assert found(states("Queued", "Queued", "Running", "Done"), emulator) == []
    assert found(states("Running", "Done"), emulator) == []
    assert found(states("Running", "Queued", "Done"), emulator)[0][1] == "Running → Queued → Done"
    assert found(states("Running", "Failed"), emulator)[0][1:] == ("Running → Failed", "Queued → Running → Done")


def test_a_state_that_the_emulator_has_not_counts_if_it_lasted() -> None:
    emulator = states("Running", "Done")
    assert found(states("Pending", "Running", "Done"), emulator) == []
    assert found(states("Pending", "Pending", "Running", "Done"), emulator) == [
        ("State", "Pending → Running → Done", "Running → Done")
    ]


def test_the_states_of_a_lists_elements_have_no_order() -> None:
    there = [ok({"Trials": [{"Status": first}, {"Status": second}]}) for first, second in (("Run", "Wait"), ("Done", "Run"), ("Done", "Done"))]  # fmt: skip
    here = [ok({"Trials": [{"Status": each}]}) for each in ("Wait", "Run", "Done")]
    assert found(there, here) == []


def test_errors_and_operations() -> None:
    missing = Answer("Describe", "NotFound", {})
    assert found([Answer("Describe", "Gone", {})], [missing]) == [("error", "Gone", "NotFound")]
    assert found([ok({"a": 1})], [missing]) == [("", "answers", "error NotFound")]
    assert found([ok({}, "Other")], [missing]) == [("", "answers", "was not asked")]
    assert found([missing], [missing, ok({"a": 1}, "More")]) == []


def test_a_report_is_a_table_without_secrets() -> None:
    told = [Difference("Get", "token", "text", "AKIAIOSFODNN7EXAMPLE")]
    text = report(told, "Differences", {"mode": "managed"})
    assert "# Differences" in text
    assert "| Get | token | text |" in text
    assert "AKIAIOSFODNN7EXAMPLE" not in text
    assert "No differences" in report([], "None", {})
