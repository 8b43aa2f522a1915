"""The Ray provider passes the conformance suite, on a real cluster of two nodes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import ray_clusters
from shown_elsewhere import ON_A_CLUSTER

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.testing import ProviderConformance

pytestmark = pytest.mark.xdist_group("ray")  # whose clusters are started once


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster to which this process is connected."""
    with ray_clusters.connected() as cluster:
        yield cluster.address


@pytest.mark.complete_are(*ON_A_CLUSTER)
class TestRay(ProviderConformance):
    quick_to_kill: ClassVar[dict[str, Any]] = {"ray": {"grace": 0.2, "num_cpus": 0.5}}

    @pytest.fixture
    def on(self, address: str, project: Path) -> str:
        (project / "cloudtune.toml").write_text(f'[profiles.cluster]\nprovider = "ray"\naddress = "{address}"\n')
        return "cluster"

    @pytest.fixture
    def finish(self, on: str, project: Path) -> Callable[[TuningJob], Run]:
        """Drives a job in this process, which is connected already; `submit` starts one of its own."""

        def finish_one(job: TuningJob) -> Run:
            run = api.prepare(job, on, project=project, base=project)
            run.wait()
            return run

        return finish_one
