"""The settings of a Kubernetes profile."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from cloudtune.provider.settings import ServiceSettings, Text
from cloudtune_kubernetes.words import CLAIM, kind_of

Seconds = Annotated[float, Field(gt=0)]


def _table(value: object) -> object:
    """Read a table that comes as a text, from the environment, as JSON."""
    return json.loads(value) if isinstance(value, str) else value


Part = Annotated[dict[str, Any], BeforeValidator(_table)]
"""A part of a manifest; in an environment variable as JSON."""


def _spot(value: object) -> object:
    return _table(value) if isinstance(value, str) and value.lstrip().startswith("{") else value


def _claim(value: str | None) -> str | None:
    if value is not None and not CLAIM.fullmatch(value):
        raise ValueError(f'{value!r} is no volume; write output = "pvc://CLAIM/FOLDER"')
    return value


def _place(value: str | None) -> str | None:
    if value is not None:
        kind_of(value)
    return value


class KubernetesSettings(ServiceSettings):
    """What a profile may say besides ``provider = "kubernetes"``; from the environment everything comes as text."""

    poll: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """Seconds between two looks at what the watch of the cluster has brought; a look makes no call."""
    kubeconfig: Text = None
    """The file with clusters and users; null for ``KUBECONFIG``, ``~/.kube/config``, or within a pod its service account."""
    context: Text = None
    """The context of that file; null for its current one."""
    namespace: Text = None
    """The namespace of the Jobs; null for the context's."""
    image: Text = None
    """The container image, where the job names none."""
    service_account: Text = None
    """The service account that trials run as, where the job has no identity; null for the namespace's default."""
    storage: Annotated[str | None, AfterValidator(_place), BeforeValidator(lambda value: value or None)] = None
    """Where code and inputs of this machine travel: ``s3://BUCKET/FOLDER``, ``gs://BUCKET/FOLDER`` or ``https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER``, which pods read by their identity; null: in ConfigMaps."""
    driver_account: Text = None
    """The service account of a driver that runs as a Job (``--driver``), which needs the Role that `check --policy` prints; null for that of trials."""
    output: Annotated[str | None, AfterValidator(_claim), BeforeValidator(lambda value: value or None)] = None
    """Where outputs and checkpoints go, where the job does not say: ``pvc://CLAIM/FOLDER``; null: they end with their pod."""
    queue: Text = None
    """The local queue of Kueue that Jobs are submitted to."""
    priority_class: Text = None
    """The priority class of the pods."""
    pull_secret: Text = None
    """The Secret with which images are pulled."""
    spot: Annotated[str | dict[str, Any] | None, BeforeValidator(_spot)] = None
    """Where spot nodes are: ``gke``, ``eks``, ``aks`` or ``karpenter``, or the part of a pod's spec that leads there."""
    template: Part = Field(default_factory=dict)
    """A part of the pod template (``metadata``, ``spec``) of every Job; a job's own native settings are merged after it."""
    katib: bool = False
    """Whether jobs whose mode is auto are Experiments of Katib, where it can do them; those whose mode is managed are in any case."""
    isolated: bool = False
    """Whether a NetworkPolicy of the namespace cuts pods off, so that jobs may ask for it."""
    ttl: Annotated[int, Field(ge=60)] = 86400
    """Seconds for which an ended Job waits for a driver that reads its log; those of a run that has ended are removed at once."""
    unscheduled: Annotated[float | None, Field(gt=0), BeforeValidator(lambda value: value or None)] = None
    """Seconds after which a pod that no node has room for fails its trial; null to wait, as for nodes of an autoscaler."""
    unstartable: Seconds = 180.0
    """Seconds after which a pod fails its trial whose image cannot be pulled, or whose container cannot be made."""
