"""Jobs on the next of several machine types, as the services' own answers tell of them."""

from pathlib import Path

import pytest
from cloud_runs import job_of
from places import group_of

from cloudtune import api
from cloudtune.provider.cloud import CloudProvider
from cloudtune.remote.resolving import provider_of
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.store import Store
from cloudtune.testing.conformance import wait_until
from cloudtune.testing.emulators import emulated

TYPES = {
    "sagemaker": ["ml.m5.xlarge", "ml.c5.xlarge"],
    "vertex": ["n2-standard-4", "e2-standard-4"],
    "azureml": ["Standard_DS3_v2", "Standard_D4s_v3"],
}


@pytest.mark.parametrize("on", [pytest.param(each, marks=group_of(each, "services")) for each in TYPES])
def test_a_job_that_is_found_again_says_which_machine_it_has(
    on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    first, second = TYPES[on]
    job = job_of(tmp_path, "", mode="driven", compute={"instance": TYPES[on]})
    with emulated(on, monkeypatch):
        made = api.prepare(job, on, project=tmp_path, base=tmp_path)
        run = Store(tmp_path).run(made.id)
        provider = provider_of(run.record(), tmp_path)
        assert isinstance(provider, CloudProvider)
        runner = provider.driven(run).runner
        assert runner.machines == (first, second)
        runner.prepare()
        for number, machine in enumerate(TYPES[on]):
            trial = Trial(number, {"x": 0.5}, TrialState.RUNNING, attempt=1)
            trial.place = runner.place(trial)
            runner.use_machine(machine)
            runner.submit(trial)
            again = provider_of(run.record(), tmp_path)
            assert isinstance(again, CloudProvider)
            found = again.driven(run).runner
            found.prepare()
            wait_until(lambda found=found, trial=trial: found.find(trial))
            assert found.machine_of(trial) == machine
            found.stop(trial.place)
