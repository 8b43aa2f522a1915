"""The Slurm provider passes the conformance suite, on a real cluster of four nodes."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from shown_elsewhere import ON_A_CLUSTER
from slurm_clusters import SlurmCluster
from slurm_runs import write_profile

from cloudtune.testing import ProviderConformance

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once


SHOWN_BY_OWN_TESTS = (
    "test_a_hung_trial_ends_at_its_time_limit",
    "test_a_job_runs_to_its_end",
    "test_no_value_of_the_environment_is_in_a_plan_or_in_the_store",
    "test_what_a_plan_carries_exactly_is_in_the_request",
)
"""What the tests of runs, of ssh and of the translation show by default, too."""


@pytest.mark.complete_are(*ON_A_CLUSTER, *SHOWN_BY_OWN_TESTS)
class TestSlurm(ProviderConformance):
    quick_to_kill: ClassVar[dict[str, Any]] = {"slurm": {"grace": 0.2}}

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        (tmp_path / "src").mkdir()
        return tmp_path

    @pytest.fixture
    def on(self, cluster: SlurmCluster, project: Path) -> str:
        write_profile(project)
        return "cluster"
