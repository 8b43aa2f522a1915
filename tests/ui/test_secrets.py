"""No answer of the live page holds a secret, wherever in a run it may lie."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from live_pages import Client, served, stored_run

from cloudtune.errors.masking import remember
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.secrets import keep_environment
from cloudtune.ui.drawings import NAMES
from cloudtune.ui.encoding import encoded

SECRET = "tr0ub4dor-and-3-staples"  # a value that is masked because it was remembered

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def planted(data: Any, draw: st.DataObject) -> Any:
    """The data with a secret within one of its texts or keys, or beside it."""
    if isinstance(data, dict) and data and draw.draw(st.booleans()):
        key = draw.draw(st.sampled_from(sorted(data)))
        return {**data, key: planted(data[key], draw)}
    if isinstance(data, list) and data and draw.draw(st.booleans()):
        at = draw.draw(st.integers(0, len(data) - 1))
        return [*data[:at], planted(data[at], draw), *data[at + 1 :]]
    return draw.draw(st.sampled_from([f"before {SECRET} after", {f"a {SECRET}": data}, [data, SECRET], SECRET]))


@given(data=plain, draw=st.data())
@settings(max_examples=examples(60))
def test_no_text_anywhere_in_an_answer_holds_a_remembered_value(data: Any, draw: st.DataObject) -> None:
    remember([SECRET])
    answer = encoded(planted(data, draw))
    assert SECRET not in answer
    json.loads(answer)


@given(plain)
@settings(max_examples=examples(60))
def test_every_answer_is_json_that_a_browser_reads(data: Any) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(encoded(data), parse_constant=refuse)
    assert encoded([math.nan, math.inf, 0.1 + 0.2]) == "[null,null,0.3]"


def answers_of(client: Client, run: str) -> dict[str, str]:
    """Every answer about a run that the page can have, by its address."""
    paths = [
        "/", "/api/about", f"/api/plan?run={run}", *(f"/api/charts?run={run}&name={name}" for name in NAMES if name != "model"),
        *(f"/api/table?run={run}&of={what}&as={kind}" for what in ("trials", "reports") for kind in ("csv", "json")),
        f"/api/compare?run={run}&run=other", "/api/plan?run=nowhere",
    ]  # fmt: skip
    found = {path: client.ask("GET", path)[2].decode() for path in paths}
    with client.stream(("run", run), ("list", "1")) as events:
        heard = {}
        while not {"run", "list"} <= set(heard):
            kind, _, data = next(events)
            heard[kind] = json.dumps(data, ensure_ascii=False)
    return {**found, **heard}


def test_a_secret_in_any_place_of_a_run_is_in_no_answer(tmp_path: Path) -> None:
    secret = "s3cr3t-value-of-a-variable"
    job = {
        "trial": {"command": f"python train.py --key {secret}", "environment": {"KEY": "***"}},
        "description": f"about {secret}",
    }
    del job["description"]
    run = stored_run(tmp_path, "digits-1a2b", state=RunState.RUNNING, **job)
    stored_run(tmp_path, "other", trials=3)
    keep_environment(run, {"KEY": secret})
    for number in range(20, 30):
        values = {"C": 1.0, "kernel": secret}
        metrics = {"accuracy": 0.5, f"m-{secret}": 1.0}
        run.write(
            trials=[
                Trial(number, values, TrialState.COMPLETED, metrics, f"died of {secret}", 1, 1.0, 2.0, place=secret)
            ]
        )
    run.write(events=[(None, f"heard {secret}")], columns={"reason": f"because of {secret}"})
    with served(tmp_path) as client:
        for where, answer in answers_of(client, "digits-1a2b").items():
            assert secret not in answer, where
            assert client.access.token not in answer, where
            assert client.access.session not in answer, where


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "\u2028</script>", '"><img src=x onerror=alert(1)>'])
def test_texts_of_a_run_stay_texts(tmp_path: Path, evil: str) -> None:
    run = stored_run(tmp_path, trials=2, name="evil", objective={"metric": evil, "goal": "maximize"})
    run.write(events=[(0, evil)], columns={"reason": evil})
    with served(tmp_path) as client:
        for where, answer in answers_of(client, "digits-1a2b").items():
            if where.startswith("/api/") and "as=csv" not in where:
                assert client.ask("GET", where)[1]["content-type"] == "application/json"
            if where in ("run", "list"):
                json.loads(answer)
