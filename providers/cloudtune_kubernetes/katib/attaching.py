"""Experiments that were made elsewhere, as jobs."""

from cloudtune.errors import RunNotFound, ignoring
from cloudtune.interop.documents import Document
from cloudtune.interop.katib.own import NAME
from cloudtune.interop.katib.reading import parse
from cloudtune.interop.katib.templates import MERGING
from cloudtune.planning.embedded_spec import unpacked_spec
from cloudtune.planning.plain_data import mapping
from cloudtune.spec.job import TuningJob
from cloudtune_kubernetes.client import GONE, Cluster
from cloudtune_kubernetes.feed import Object
from cloudtune_kubernetes.katib.experiment import SPEC


def find(cluster: Cluster, name: str) -> TuningJob:
    """Return the spec of an Experiment, which travels with those that cloudtune has made.

    Args:
        cluster: where it is.
        name: of the Experiment.

    Raises:
        RunNotFound: there is no such Experiment in the namespace.
        SpecError: it says what no job can.
        ProviderError: the cluster cannot be reached, or refuses.
    """
    found: Object = {}
    with ignoring(GONE):
        found = cluster.call(f"looking for the Experiment {name}", "GET", cluster.path("experiments", name))
    if not found:
        hint = f"`kubectl get experiments -n {cluster.namespace}` lists them, and `cloudtune ls` the runs that cloudtune drives"
        raise RunNotFound(f"the cluster has no Experiment {name!r} in the namespace {cluster.namespace}; {hint}")
    packed = mapping(found["metadata"].get("annotations")).get(SPEC)
    spec = None if packed is None else unpacked_spec(str(packed))
    if spec is not None:
        return TuningJob.from_data({**spec, "mode": "managed"}, name)
    job = parse(Document(dict(found), f"the Experiment {name}")).job
    own = MERGING.merge(job.native_settings(NAME), {"metadata": {"name": name}})
    return job.model_copy(update={"mode": "managed", "native": {NAME: own}})
