"""Calls to actors: their answers, their errors, and actors that cannot be reached for a while."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune.errors import ProviderError
from cloudtune_ray import calls
from cloudtune_ray.calls import Call, Calls
from cloudtune_ray.cluster import Cluster


class RayError(Exception):
    pass


class ActorUnavailableError(RayError):
    pass


class Ray:
    """As much of Ray as calls need: references are ready at once, and give what they are."""

    exceptions = SimpleNamespace(RayError=RayError, ActorUnavailableError=ActorUnavailableError)

    def wait(self, references: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return references, []

    def get(self, reference: Any) -> Any:
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value


def ask(made: Calls[str], *values: Any) -> list[Any]:
    """Makes a call that gives these values, one each time that it is made; returns what its listener hears."""
    left: Iterator[Any] = iter(values)
    heard: list[Any] = []
    call = Call("actor", lambda: SimpleReference(next(left)), lambda _, answer: heard.append(answer))
    made.make(call)
    return heard


class SimpleReference:
    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0, monotonic=lambda: now.seconds, sleep=lambda _: None)
    monkeypatch.setattr(calls, "time", now)
    return now


def test_answers_and_errors_come_with_their_calls(clock: SimpleNamespace) -> None:
    made = Calls[str](Ray())
    heard = ask(made, "well")
    ask(made, RayError("gone"))
    found = list(made.answers(0))
    for call, answer, error in found:
        if error is None:
            call.hear(call.callee, answer)
    assert heard == ["well"]
    assert [str(error) for _, _, error in found if error is not None] == ["gone"]
    assert not list(made.answers(0))


def test_a_call_to_an_actor_out_of_reach_is_made_again(clock: SimpleNamespace) -> None:
    made = Calls[str](Ray())
    ask(made, ActorUnavailableError(), ActorUnavailableError(), "back")
    assert not list(made.answers(0))
    assert not list(made.answers(0)), "not at once"
    clock.seconds += 1
    assert not list(made.answers(0))
    clock.seconds += 1
    assert [(answer, error) for _, answer, error in made.answers(0)] == [("back", None)]


def test_an_actor_out_of_reach_for_long_is_lost(clock: SimpleNamespace) -> None:
    made = Calls[str](Ray())
    ask(made, *[ActorUnavailableError("no route")] * 200)
    for _ in range(200):
        found = list(made.answers(0))
        if found:
            break
        clock.seconds += 1
    assert 160 <= clock.seconds <= 162
    assert [str(error) for _, _, error in found] == ["no route"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("RPC error: WrongClusterID: Perhaps the client is accessing GCS after it has restarted.", "its head was started again"),
        ("Failed to connect to GCS", "Failed to connect to GCS"),
    ],
)  # fmt: skip
def test_errors_of_ray_itself_are_those_of_a_cluster_that_is_lost(said: str, why: str) -> None:
    cluster = object.__new__(Cluster)
    cluster.ray = Ray()
    with (
        pytest.raises(ProviderError, match=f"^the Ray cluster is lost: {why}.*a resume starts its trials again$"),
        cluster.reached(),
    ):
        raise RayError(said)
