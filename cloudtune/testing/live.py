"""The conformance suite on a real service: ``pytest --live PROFILE``, whose jobs together stay within a budget.

See `cloudtune.testing.plugin` for the options.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.money import Money, parse_money
from cloudtune.store.projects import project_folder
from cloudtune.testing.conformance import ProviderConformance

pytestmark = pytest.mark.live

SPENT = pytest.StashKey[Decimal]()
"""What the tests before have cost, in the stash of pytest's config."""


class TestLive(ProviderConformance):
    """The conformance suite with the profile of ``--live``; a test is skipped once the budget is spent."""

    @pytest.fixture
    def on(self, request: pytest.FixtureRequest, project: Path) -> str:
        """Return the profile of ``--live``, whose config is put into the test's own project."""
        config = project_folder() / "cloudtune.toml"
        if config.exists():
            (project / "cloudtune.toml").write_text(config.read_text("utf-8"), "utf-8")
        return str(request.config.getoption("live"))

    @pytest.fixture
    def extras(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        """Return the limits of every job: what is left of the budget, and a time that bounds each trial's cost.

        Raises:
            pytest.skip.Exception: nothing is left.
        """
        budget, mode = parse_money(request.config.getoption("live_budget")), request.config.getoption("live_mode")
        left = budget.amount - request.config.stash.get(SPENT, Decimal(0))
        if left <= 0:
            pytest.skip(f"the budget of {budget} is spent")
        limits = {"trial_time": "15m", "cost": str(Money(left, budget.currency))}
        return {"limits": limits, **({"mode": mode} if mode else {})}

    @pytest.fixture(autouse=True)
    def _charged(self, request: pytest.FixtureRequest, project: Path) -> Iterator[None]:
        """Charge what the runs of a test have cost to the budget; cancel those that it leaves running."""
        yield
        spent = request.config.stash.get(SPENT, Decimal(0))
        for record in api.runs(project=project):
            run = api.attach(record.id, project=project)
            if not run.state.ended:
                run.cancel()
            spent += _cost_of(run)
        request.config.stash[SPENT] = spent


def _cost_of(run: Run) -> Decimal:
    charges = (charge.amount for trial in run.trials() for charge in trial.charges)
    return sum((amount for amount in charges if amount is not None), Decimal(0))
