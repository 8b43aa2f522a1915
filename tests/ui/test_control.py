"""What may be done from the page with --control, and how it is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_pages import Client, served, stored_run

from cloudtune import api
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.stops import asked_to_stop
from cloudtune.store.store import RunStore, Store

RUN = "digits-1a2b"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    run = stored_run(tmp_path, state=RunState.INTERRUPTED)
    run.write(trials=[Trial(20, {"C": 1.0, "kernel": "rbf"}, TrialState.WAITING, attempt=1)])
    with served(tmp_path, control=True) as found:
        yield found


def store(tmp_path: Path) -> RunStore:
    return RunStore(Store(tmp_path), RUN)


def test_a_trial_of_ones_own_is_enqueued(client: Client, tmp_path: Path) -> None:
    status, said = client.act("try", RUN, values="C=0.5 kernel=poly")
    assert (status, said["said"]) == (200, f"C=0.5 kernel=poly is run when {RUN} goes on (interrupted now)")
    assert api.attach(RUN, project=tmp_path).enqueued == [{"C": 0.5, "kernel": "poly"}]


def test_one_trial_is_stopped(client: Client, tmp_path: Path) -> None:
    assert client.act("stop", RUN, trial=20) == (200, {"said": "trial 20 is being stopped"})
    assert asked_to_stop(store(tmp_path).wish()) == [20]


def test_a_run_is_cancelled_and_cannot_be_cancelled_again(client: Client, tmp_path: Path) -> None:
    assert client.act("cancel", RUN)[0] == 200
    assert store(tmp_path).record().state is RunState.CANCELLED
    status, said = client.act("cancel", RUN)
    assert status == 409
    assert said["error"] == f"{RUN} has ended already: cancelled"


@pytest.mark.parametrize(
    ("action", "given", "code", "why"),
    [
        ("try", {"values": "C"}, 409, "NAME=VALUE"),
        ("try", {"values": "C=-1"}, 409, "C"),
        ("try", {}, 409, "say what to try"),
        ("stop", {"trial": "20"}, 409, "number of a trial"),
        ("stop", {"trial": 3}, 409, "only a trial that waits or runs"),
        ("extend", {}, 409, "how many more"),
        ("extend", {"trials": "some"}, 409, "trials"),
        ("extend", {"plan": 1}, 409, "there is no 'plan' here"),
        ("retry", {"trials": "all"}, 409, "list of numbers"),
        ("rm", {}, 404, "no action 'rm'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    client: Client, tmp_path: Path, action: str, given: dict[str, object], code: int, why: str
) -> None:
    before = store(tmp_path).record()
    status, said = client.act(action, RUN, **given)
    assert status == code
    assert why in said["error"]
    assert store(tmp_path).record() == before


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{}", "text/plain", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b" " * 200_000, "application/json", 413),
    ],
)
def test_bodies_are_checked(client: Client, body: bytes, kind: str, code: int) -> None:
    headers = {"Origin": f"http://{client.host}", "Content-Type": kind}
    status, _, answer = client.ask("POST", "/api/act/cancel", body, headers)
    assert status == code
    assert json.loads(answer)["error"]
