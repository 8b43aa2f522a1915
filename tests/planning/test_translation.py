"""The frame of a translation, by a made-up service in a dozen lines."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from plain_jobs import plain_data

from cloudtune.planning.known_values import Finding
from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.mode import Reason, course_reasons, strategy_reasons
from cloudtune.planning.plan import Beside, Plan, Support
from cloudtune.planning.support import DEFAULT_SUPPORT, SupportTable, tuner_support
from cloudtune.planning.translation import Translation, with_environment
from cloudtune.planning.violations import Violation
from cloudtune.provider.driven_plan import DRIVEN_SUPPORT
from cloudtune.provider.managed_plan import MANAGED_SUPPORT
from cloudtune.spec.compute import Compute
from cloudtune.spec.job import TrialSpec, TuningJob
from cloudtune.spec.strategies import Random


class MadeUp(Translation):
    """Translates to a service that searches at random alone."""

    provider, service, merging = "made_up", "Made Up", Merging(("name",))
    support = tuner_support("Made Up", "Made Up's tuner", "a plain job")
    from_profile = {"image": "trial.image"}

    def reasons(self) -> Iterator[Reason]:
        yield from strategy_reasons(self._job, (Random,))
        yield from course_reasons(self._job, ())

    def tuning_job(self) -> dict[str, Any]:
        for path in ("name", "objective", "metrics", "space", "strategy"):
            self._ledger.carry(path, path)
        self._ledger.carry("limits.trials", "trials")
        self.note_given("limits", "failed", "target", "no_improvement")
        trials = self._job.limits.trials or 1
        return {"trials": trials, "parallel": self.parallel(trials, "parallel"), "job": self.plain_job()}

    def plain_job(self) -> dict[str, Any]:
        for field in ("source", "ignore", "command", "environment"):
            self._ledger.carry(f"trial.{field}", field)
        self._ledger.carry("compute", Beside.DEFAULT)
        image = self.own("trial.image", self._job.trial.image, "image")
        return {"image": image, "variables": dict.fromkeys(self._job.trial.environment, "***")}

    def native_of_trial(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in own:
            if name == "job":
                self.carry_native(name, "")
            else:
                self.note_native(name)
        part: Mapping[str, Any] = own.get("job", {})
        return part

    def findings(self, request: dict[str, Any]) -> Iterable[Finding]:
        if request.get("warm"):
            yield "warm", (Support.APPROXIMATE, "of no effect")

    def violations(self, request: dict[str, Any]) -> Iterable[Violation]:
        job = request.get("job", request)
        if not job["image"]:
            self.note_missing("trial.image", "no image; give trial.image")
        elif job["image"] == "bad":
            yield Violation("job.image", "is bad")


def planned(**fields: Any) -> Plan:
    job = plain_data(
        trial={"command": "python t.py", "image": "i", "environment": {"KEY": "secret"}},
        strategy={"type": "random"},
        limits={"trials": 4, "parallel": 8},
    )
    return MadeUp(TuningJob.from_data({**job, **fields})).plan()


def test_the_mode_follows_from_what_the_tuner_cannot_do() -> None:
    assert planned().mode == "managed"
    driven = planned(strategy={"type": "bayesian"})
    assert driven.mode == "driven"
    assert driven.support("strategy.type") is Support.DRIVEN
    assert driven.carried["objective"] == Beside.DRIVER
    assert planned(strategy={"type": "bayesian"}, mode="managed").support("strategy.type") is Support.UNSUPPORTED


def test_a_request_is_that_of_the_tuner_or_of_one_trial() -> None:
    assert planned().request == {"trials": 4, "parallel": 4, "job": {"image": "i", "variables": {"KEY": "***"}}}
    assert planned(mode="driven").request == {"image": "i", "variables": {"KEY": "***"}}


def test_a_limit_of_zero_is_noted_as_any_other() -> None:
    plan = planned(limits={"trials": 4, "target": 0.0})
    assert plan.support("limits.target") is Support.WATCHED


def test_native_settings_are_merged_and_accounted_for() -> None:
    own = {"job": {"image": "other"}, "warm": True}
    managed = planned(native={"made_up": own})
    assert managed.request["job"] == {"image": "other", "variables": {"KEY": "***"}}
    assert managed.carried["native.made_up.job"] == "job"
    assert managed.support("native.made_up.warm") is Support.APPROXIMATE
    driven = planned(native={"made_up": own}, mode="driven")
    assert driven.request == {"image": "other", "variables": {"KEY": "***"}}
    assert driven.support("native.made_up.warm") is Support.APPROXIMATE


def test_what_is_missing_or_refused_is_a_note_of_the_field() -> None:
    trial = {"command": "python t.py"}
    missing = [note for note in planned(trial=trial).notes if note.support is Support.UNSUPPORTED]
    assert [(note.path, note.message) for note in missing] == [("trial.image", "no image; give trial.image")]
    refused = [note for note in planned(trial={**trial, "image": "bad"}).notes if note.support is Support.UNSUPPORTED]
    assert [(note.path, note.message) for note in refused] == [("trial.image", "Made Up refuses job.image: is bad")]


def test_values_take_the_place_of_masks_in_variables_alone() -> None:
    request = {
        "tags": {"KEY": "***"},
        "env": {"KEY": "***", "B": "***"},
        "pools": [{"env": [{"name": "KEY", "value": "***"}]}],
    }
    assert with_environment(request, {"KEY": "secret"}, "env") == {
        "tags": {"KEY": "***"},
        "env": {"KEY": "secret", "B": "***"},
        "pools": [{"env": [{"name": "KEY", "value": "secret"}]}],
    }


@pytest.mark.parametrize("table", [DEFAULT_SUPPORT, DRIVEN_SUPPORT, MANAGED_SUPPORT])
def test_the_tables_that_providers_begin_with_have_every_field_of_the_spec(table: SupportTable) -> None:
    parts = {"trial": TrialSpec, "compute": Compute}
    fields = {*TuningJob.model_fields} - {*parts, "native"}
    fields |= {f"{name}.{field}" for name, part in parts.items() for field in part.model_fields}
    assert not fields - table.keys()
