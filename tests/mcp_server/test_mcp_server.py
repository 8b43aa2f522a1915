"""The MCP server answers the official client, in one process and over stdio, and spends nothing without leave."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.errors import ConfigError
from cloudtune.spec.money import Money

if LATE:
    pytest.importorskip("mcp")
    import mcp_types
    from mcp import Client, StdioServerParameters

    from cloudtune.mcp import launching
    from cloudtune.mcp.policy import Policy
    from cloudtune.mcp.server import server_of

_JOB = """
name: asked
trial: {command: "python train.py"}
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: random, seed: 1}
limits: {trials: 3, trial_time: 1m}
"""
_SCRIPT = """
import cloudtune.trial as trial
print("password=hunter2hunter2")
print("\\n".join(f"line {number}" for number in range(300)))
trial.report(loss=trial.params()["x"])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "job.yaml").write_text(_JOB)
    (folder / "train.py").write_text(_SCRIPT)
    (folder / "cloudtune.toml").write_text("[prices.local]\nhour = 6\n")
    (tmp_path / "elsewhere.yaml").write_text(_JOB)
    return folder


@pytest.fixture
def rented(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is one that costs money."""
    monkeypatch.setattr("cloudtune.costs.launching.rents_machines", lambda provider: provider == "local")


def talk(policy: "Policy", body: "Callable[[Client], Awaitable[None]]", **options: Any) -> None:
    async def run() -> None:
        async with Client(server_of(policy), **options) as client:
            await body(client)

    asyncio.run(run())


async def called(client: "Client", tool: str, **arguments: Any) -> Any:
    """Return a tool's structured answer, or its message where it is refused."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        return result.content[0].text
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def ended(client: "Client", run: str) -> dict[str, Any]:
    while True:
        data = (await called(client, "show", run=run))["data"]
        if data["state"] not in ("waiting", "running"):
            return dict(data)
        await asyncio.sleep(0.02)


def test_a_job_is_planned_run_and_read_over_stdio(project: Path) -> None:
    (project / "cloudtune.toml").unlink()  # with a price, this machine costs money
    words = ["-m", "cloudtune", "-C", str(project), "mcp"]

    async def run() -> None:
        async with Client(StdioServerParameters(command=sys.executable, args=words)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert {"plan", "run", "show", "runs", "trials", "best", "logs", "cancel", "machines"} == set(tools)
            assert all(tool.output_schema and tool.description for tool in tools.values())
            assert tools["show"].annotations.read_only_hint
            assert not tools["run"].annotations.read_only_hint
            assert "agreement" not in tools["run"].input_schema["properties"]
            plan = (await called(client, "plan", job="job.yaml", changes={"limits.trials": 2}))["data"]
            assert (plan["paid"], plan["confirmation"], plan["refused"]) == (False, None, None)
            assert plan["summary"]["trials"] == 2
            started = (await called(client, "run", job="job.yaml", changes={"limits.trials": 2}))["data"]
            data = await ended(client, started["id"])
            assert (data["state"], data["counts"]) == ("completed", {"completed": 2})
            assert (await called(client, "runs"))["total"] == 1
            trials = (await called(client, "trials", limit=1))["rows"]
            assert len(trials) == 1
            best = (await called(client, "best"))["rows"][0]
            assert best["metrics"]["loss"] == pytest.approx(best["parameters"]["x"])
            lines = (await called(client, "logs", trial=0, limit=100))["lines"]
            assert len(lines) <= 100
            assert "line 299" in lines
            refused = await client.call_tool("cancel", {"run": data["id"][:-1]})
            assert "give the whole id" in str(refused.content), "another run may begin alike by then"
            assert (await called(client, "cancel", run="latest"))["data"]["state"] == "completed"

    asyncio.run(run())


def test_answers_are_short_and_hold_no_secrets(project: Path) -> None:
    from cloudtune import api
    from cloudtune.spec.job import TuningJob

    run = api.submit(TuningJob.from_yaml(project / "job.yaml"), "local", project=project, base=project)
    run.wait()

    async def body(client: "Client") -> None:
        result = await client.call_tool("logs", {"trial": 0, "limit": 101})
        assert result.is_error
        found = await client.call_tool("machines", {"limit": 100})
        assert len(found.structured_content["rows"]) == 100 < found.structured_content["total"]
        assert len(found.content[0].text) < 100_000

    talk(Policy((project,)), body)
    from cloudtune.mcp.answers import bounded

    assert "hunter2" not in json.dumps(bounded(list(run.logs(0))))
    assert bounded({"loss": float("nan"), "text": "x" * 9000})["loss"] is None
    assert len(bounded("x" * 9000)) < 5000


@pytest.mark.parametrize("name", ["../elsewhere.yaml", "link.yaml", "/etc/hostname", "none.yaml"])
def test_no_file_outside_of_the_project_is_read(project: Path, name: str) -> None:
    (project / "link.yaml").symlink_to(project.parent / "elsewhere.yaml")

    async def body(client: "Client") -> None:
        for tool in ("plan", "run"):
            said = await called(client, tool, job=name)
            assert "lies outside of the project" in said or "there is no file" in said
        assert "does not know the project" in await called(client, "runs", project=str(project.parent))

    talk(Policy((project,)), body)


def test_a_reader_plans_with_nothing_from_outside_of_the_project(project: Path) -> None:
    (project.parent / "other.csv").write_text("x,loss\n0.5,s3cret\n")

    async def body(client: "Client") -> None:
        for changes in ({"trial.source": ".."}, {"warm_start": {"table": "../other.csv"}}):
            said = await called(client, "plan", job="job.yaml", changes=changes)
            assert "lies outside of the project" in said
            assert "s3cret" not in said

    talk(Policy((project,), read_only=True), body)


def test_trials_of_a_state_that_there_is_not_are_a_mistake(project: Path) -> None:
    async def body(client: "Client") -> None:
        assert "'completed'" in await called(client, "trials", state="done")

    talk(Policy((project,)), body)


def test_a_service_that_suggests_trials_costs_money_wherever_they_run(project: Path) -> None:
    pytest.importorskip("google.cloud.aiplatform")
    changes = {"strategy": {"type": "vizier", "project": "p", "location": "us-central1"}}

    async def body(client: "Client") -> None:
        plan = (await called(client, "plan", job="job.yaml", changes=changes))["data"]
        assert plan["paid"]
        assert "--allow-paid" in plan["refused"]
        assert "--allow-paid" in await called(client, "run", job="job.yaml", changes=changes)

    talk(Policy((project,)), body)


def test_a_reader_starts_and_ends_nothing(project: Path) -> None:
    async def body(client: "Client") -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert not {"run", "cancel"} & names
        assert (await client.call_tool("run", {"job": "job.yaml"})).is_error

    talk(Policy((project,), read_only=True), body)
    assert not (project / ".cloudtune").exists()


def test_a_paid_run_is_refused_unless_the_server_was_started_for_it(project: Path, rented: None) -> None:
    async def body(client: "Client") -> None:
        plan = (await called(client, "plan", job="job.yaml", budget="USD 1"))["data"]
        assert plan["paid"]
        assert plan["confirmation"] is None
        assert "--allow-paid" in plan["refused"]
        assert "--allow-paid" in await called(client, "run", job="job.yaml", budget="USD 1", confirmation="guessed")

    talk(Policy((project,)), body)
    with pytest.raises(ConfigError, match="--max-cost"):
        Policy((project,), allow_paid=True)


def paid(project: Path, most: int = 2) -> "Policy":
    from decimal import Decimal

    return Policy((project,), allow_paid=True, max_cost=Money(Decimal(most)))


def test_a_paid_run_takes_a_budget_and_the_confirmation_of_the_very_plan_once(project: Path, rented: None) -> None:
    async def body(client: "Client") -> None:
        assert "takes a budget" in await called(client, "run", job="job.yaml")
        assert "takes the confirmation" in await called(client, "run", job="job.yaml", budget="1")
        plan = (await called(client, "plan", job="job.yaml", budget="1"))["data"]
        token = plan["confirmation"]
        assert token
        for other in ({"budget": "2"}, {"budget": "1", "changes": {"limits.trials": 2}}):
            assert "is not what was confirmed" in await called(
                client, "run", job="job.yaml", confirmation=token, **other
            )
        prices = project / "cloudtune.toml"
        before = prices.read_text()
        prices.write_text(before.replace("6", "7"))
        assert "is not what was confirmed" in await called(
            client, "run", job="job.yaml", budget="1", confirmation=token
        )
        prices.write_text(before)
        started = (await called(client, "run", job="job.yaml", budget="1", confirmation=token))["data"]
        assert (await ended(client, started["id"]))["state"] == "completed"
        again = await called(client, "run", job="job.yaml", budget="1", confirmation=token)
        assert "takes the confirmation" in again

    policy = paid(project)
    talk(policy, body)
    assert policy.granted == 1


def test_all_paid_runs_together_stay_below_the_bound(project: Path, rented: None) -> None:
    async def body(client: "Client") -> None:
        for _ in range(2):
            plan = (await called(client, "plan", job="job.yaml", budget="1"))["data"]
            arguments = {"job": "job.yaml", "budget": "1", "confirmation": plan["confirmation"]}
            await ended(client, (await called(client, "run", **arguments))["data"]["id"])
        plan = (await called(client, "plan", job="job.yaml", budget="0.5"))["data"]
        assert plan["confirmation"] is None
        assert "0.00" in plan["refused"]
        assert "EUR" in (await called(client, "plan", job="job.yaml", budget="EUR 1"))["data"]["refused"]

    talk(paid(project), body)


@pytest.mark.parametrize(
    ("mode", "answer"),
    [("auto", "yes"), ("auto", "no"), ("legacy", "decline")]
    + [
        pytest.param(*each, marks=pytest.mark.complete)
        for each in (("auto", "decline"), ("legacy", "yes"), ("legacy", "no"))
    ],
)
def test_a_client_that_can_ask_its_user_must(project: Path, rented: None, mode: str, answer: str) -> None:
    asked: list[str] = []

    async def elicited(context: Any, params: Any) -> Any:
        asked.append(params.message)
        if answer == "decline":
            return mcp_types.ElicitResult(action="decline")
        return mcp_types.ElicitResult(action="accept", content={"launch": answer == "yes"})

    async def body(client: "Client") -> None:
        plan = (await called(client, "plan", job="job.yaml", budget="1"))["data"]
        done = await called(client, "run", job="job.yaml", budget="1", confirmation=plan["confirmation"])
        if answer == "yes":
            assert (await ended(client, done["data"]["id"]))["state"] == "completed"
        else:
            assert isinstance(done, str)
            assert (await called(client, "runs"))["total"] == 0
        unpaid = len(asked)
        await called(client, "run", job="job.yaml", confirmation="guessed")
        assert len(asked) == unpaid  # what is refused is not asked about

    talk(paid(project), body, elicitation_callback=elicited, mode=mode)
    assert len(asked) == 1
    assert "It costs money" in asked[0]


def test_a_confirmation_does_not_hold_for_ever(project: Path, rented: None) -> None:
    made = launching.planned(paid(project), "job.yaml", None, None, {}, "1")
    confirmations = launching.Confirmations(lifetime=-1)
    with pytest.raises(launching.NotLaunched, match="takes the confirmation"):
        confirmations.use(confirmations.give(made), made)
