"""From the spec to the one-time run that each trial is, and an account of where each field went.

Pure: no network, no credentials.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cloudtune.planning.known_values import IMAGE, Finding, judge_text
from cloudtune.planning.mode import Reason
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.plan import Beside, Machines, Plan, Support
from cloudtune.planning.translation import Request, Translation
from cloudtune.planning.violations import Violation
from cloudtune.space.parameters import Parameter
from cloudtune.space.space_codec import Flattened, SpaceCodec
from cloudtune.spec.fields import alternatives, pick
from cloudtune.spec.job import TuningJob, regex_paths
from cloudtune.spec.places import is_remote
from cloudtune.spec.stopping import Auto
from cloudtune.trial import data_variable
from cloudtune_databricks.capabilities import SUPPORT
from cloudtune_databricks.request import (
    MERGING,
    OF_THE_TASK,
    PROVIDER,
    SINGLE_NODE,
    TASK,
    helped,
    part_of,
    spot_nodes,
    starts_itself,
    task_of,
)
from cloudtune_databricks.schema import Unchecked, problems
from cloudtune_databricks.settings import DatabricksSettings
from cloudtune_databricks.words import EXAMPLE, PLACE

_TASK = "tasks[0]"
_CLUSTER = f"{_TASK}.new_cluster"
_PROGRAM = f"{_TASK}.spark_python_task"

_MARGIN = 3600
"""Seconds of the service's limit beyond ``limits.trial_time``: it counts the start of a cluster as well, and the driver ends a trial first."""

_NO_VOLUME = f'there is no volume for code and outputs; write volume = "{EXAMPLE}" in the profile'
_NO_RUNTIME = 'which Databricks Runtime has the cluster? say spark_version = "16.4.x-cpu-ml-scala2.12" in the profile'


def translate(job: TuningJob, settings: DatabricksSettings | None = None) -> Plan:
    """Return the plan for Databricks: the request of each trial's run, and a note for each field that is not carried exactly.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose ``${run}``, ``${program}``, ``${code}`` and ``${data:NAME}`` are known when the run starts.
    """
    return _Translation(job, settings or DatabricksSettings()).plan()


def codec_of(job: TuningJob) -> SpaceCodec:
    """Return how the values of a job's space travel: as they stand, in JSON."""
    return Flattened(job.search_space(), _no_codecs)


def _no_codecs(parameter: Parameter) -> tuple[()]:  # noqa: ARG001  # of any
    return ()


class _Translation(Translation):
    """One translation of one job."""

    provider, service, support, merging = PROVIDER, "Databricks", SUPPORT, MERGING

    def __init__(self, job: TuningJob, settings: DatabricksSettings) -> None:
        super().__init__(job.driven())
        self._managed = job.mode == "managed"
        self._settings = settings
        self._helped = helped(job)
        self._patch: Request = MERGING.merge(part_of(settings.submit), part_of(job.native_settings(PROVIDER)))
        self._own_task = task_of(self._patch)
        self._node, self._compute = self._chosen()
        output = pick(job.output, PROVIDER)
        self._volume = settings.volume or (
            output.rstrip("/") if output is not None and PLACE.fullmatch(output) else None
        )

    def _chosen(self) -> tuple[str | None, str]:
        """Return the node type, and the kind of compute: ``existing_cluster_id``, ``new_cluster`` or "" for serverless."""
        own = next((name for name in ("existing_cluster_id", "new_cluster") if self._own_task.get(name)), "")
        named = [each for each in alternatives(self._job.compute.instance, PROVIDER) if not each.startswith("ml.")]
        node = named[0] if named else self._settings.instance
        if own or "environment_key" in self._own_task:
            return node, own
        if named:
            return node, "new_cluster"
        return node, "existing_cluster_id" if self._settings.cluster else "new_cluster" if node else ""

    def reasons(self) -> Iterable[Reason]:
        return ()  # every job is driven

    def tuning_job(self) -> Request:
        return self.plain_job()

    def machines(self, request: Request) -> Machines | None:
        cluster = mapping(task_of(request).get("new_cluster"))
        kinds = {"": "serverless", "existing_cluster_id": "cluster"}
        kind = cluster.get("node_type_id") or cluster.get("instance_pool_id") or "cluster"
        workers = cluster.get("num_workers")
        return Machines(kinds.get(self._compute, str(kind)), 1 + (workers if isinstance(workers, int) else 0))

    # The request

    def plain_job(self) -> Request:
        if self._managed:
            self.note("mode", "mode.managed")
        if isinstance(self._job.stopping, Auto):
            self.note("stopping", "stopping.auto")
        self._of_the_workspace()
        self.note_sources(_PROGRAM, helped=self._helped)
        task = {"task_key": TASK, **self._program(), **self._machine()}
        request = {
            "run_name": "${run}",
            "tasks": [task],
            "queue": {"enabled": True},
            "run_as": self._run_as(),
            "timeout_seconds": self._limit(),
            "environments": None if self._compute else [self._environment()],
        }
        request = {name: value for name, value in request.items() if value is not None}
        merged: Request = MERGING.merge(request, part_of(self._settings.submit))
        return merged

    def _limit(self) -> int | None:
        limit = self._job.limits.trial_time
        return None if limit is None else min(math.ceil(limit.total_seconds()) + _MARGIN, 2**31 - 1)

    def _run_as(self) -> dict[str, str] | None:
        value = self._job.identity
        own = self.own("identity", value, "run_as")
        if own is not None and self._helped and self._settings.folder is None:
            self.note(self.own_path("identity", value or ""), "identity.folder", "run_as")
        own = own or self._settings.identity
        if own is None:
            return None
        return {"user_name" if "@" in own else "service_principal_name": own}

    def _environment(self) -> dict[str, Any]:
        pip = {"dependencies": list(self._settings.dependencies)} if self._settings.dependencies else {}
        return {"environment_key": TASK, "spec": {"environment_version": self._settings.environment_version, **pip}}

    def _of_the_workspace(self) -> None:
        network = self._job.network
        if network is not None:
            self.note_given("network", "name", "subnets", "security_groups", row="network")
            self.note_isolation(network.isolated, ensured=self._settings.isolated)
        if self._job.encryption is not None:
            self.note("encryption")
        if self._job.region is not None:
            self.note("region")

    # The program

    def _program(self) -> dict[str, Any]:
        if not self._helped:
            self._native_program()
            return {}
        for part in ("source", "ignore"):
            self._ledger.carry(f"trial.{part}", Beside.CODE)
        self.note("trial.command" if self._job.trial.command is not None else "trial.function", target=_PROGRAM)
        if self._job.trial.environment:
            self.note("trial.environment", target=f"{_PROGRAM}.parameters")
        settings, volume = self._settings, self._volume or ""
        words = {
            "code": f"{volume}/code/${{code}}",
            "files": self._files(),
            "run": "${run}",
            "pause": f"{settings.poll:g}",
            "environment": f"{volume}/${{run}}/environment.json" if self._job.trial.environment else None,
            "experiment": settings.experiment,
        }
        parameters = [f"--{name}={word}" for name, word in words.items() if word is not None]
        parameters += [f"--data={data_variable(name)}={place}" for name, place in self._data().items()]
        return {"spark_python_task": {"python_file": "${program}", "parameters": parameters}}

    def _native_program(self) -> None:
        """Account for what no trial helper carries out."""
        self.note_code_of_none(starts_itself=starts_itself(self._job))
        if self._job.trial.environment:
            self.note("trial.environment", "trial.environment.native")
        if self._job.stopping is not None:
            self.note("stopping", "stopping.native")
        for path in regex_paths(self._job):
            self.note(path, "objective.regex.native")
        for name in self._job.data:
            self.note(f"data.{name}", "data.native")
        if self._job.output is not None:
            self.note("output", "output.native")

    def _data(self) -> dict[str, str]:
        """Return where the program finds each input."""
        places: dict[str, str] = {}
        target = f"{_PROGRAM}.parameters"
        for name, value in self._job.data.items():
            place = pick(value, PROVIDER)
            if place is None or (is_remote(place) and not PLACE.fullmatch(place)):
                self.note(f"data.{name}", "data.remote")
                continue
            self._ledger.carry_per_provider(f"data.{name}", value, target)
            if not is_remote(place):
                self.note(self.own_path(f"data.{name}", value), "data", target)
            places[name] = place if is_remote(place) else f"{self._volume}/data/${{data:{name}}}"
        return places

    def _files(self) -> str:
        """Return the run's folder on a volume for what trials print, outputs and checkpoints."""
        value, target = self._job.output, f"{_PROGRAM}.parameters"
        own = pick(value, PROVIDER)
        if value is not None:
            if own is not None and not PLACE.fullmatch(own):
                self.note("output", "output.remote")
                own = None
            else:
                self._ledger.carry_per_provider("output", value, target)
                if own is not None:
                    self.note(self.own_path("output", value), "output", target)
        return f"{(own or self._volume or '').rstrip('/')}/${{run}}"

    # Machines

    def _machine(self) -> dict[str, Any]:
        self._account_for_compute()
        image = self.own("trial.image", self._job.trial.image, f"{_CLUSTER}.docker_image.url")
        for key in self._job.tags:
            self.note(f"tags.{key}", "tags" if self._compute == "new_cluster" else "tags.none")
        if self._compute == "new_cluster":
            if image is not None:
                self.note(self.own_path("trial.image", self._job.trial.image or ""), "trial.image")
            return {"new_cluster": self._cluster(image)}
        if image is not None:
            self.note(self.own_path("trial.image", self._job.trial.image or ""), "trial.image.none")
        if self._compute:
            return {"existing_cluster_id": self._settings.cluster} if self._settings.cluster else {}
        return {"environment_key": TASK}

    def _account_for_compute(self) -> None:
        compute = self._job.compute
        self.note_given("compute", "accelerators", "cpus", "memory", "disk", "max_wait", "keep")
        new = self._compute == "new_cluster"
        if compute.count == 1:
            self._ledger.carry("compute.count", Beside.DEFAULT)
        else:
            self.note("compute.count", "compute.count" if new else "compute.count.one")
        if compute.instance is not None:
            self._ledger.carry_per_provider("compute.instance", compute.instance, f"{_CLUSTER}.node_type_id")
            named = alternatives(compute.instance, PROVIDER)
            if named and (not new or named[0] != self._node):
                path = f"compute.instance.{PROVIDER}" if isinstance(compute.instance, dict) else "compute.instance"
                self.note(path, "compute.instance.foreign")
            self.note_several("compute.instance", compute.instance, "compute.instance.several")
        found = spot_nodes(self._node or "") if new else {}
        attributes = [name for name in mapping(self._own_task.get("new_cluster")) if name.endswith("_attributes")]
        row = "compute.spot.other" if not new else "compute.spot" if found or attributes else "compute.spot.unknown"
        self.note_or_default("compute.spot", compute.spot, row)

    def _cluster(self, image: str | None) -> dict[str, Any]:
        """Return the cluster of a trial's own."""
        own, job = mapping(self._own_task.get("new_cluster")), self._job
        workers = own.get("num_workers", job.compute.count - 1)
        found: dict[str, Any] = {
            "spark_version": self._settings.spark_version,
            "node_type_id": None if "instance_pool_id" in own else self._node,
            "num_workers": None if "autoscale" in own else workers,
            "data_security_mode": "SINGLE_USER",  # without one, volumes are not seen
            "docker_image": None if image is None else {"url": image},
            **(spot_nodes(self._node or "") if job.compute.spot else {}),
        }
        single = SINGLE_NODE if workers == 0 and "autoscale" not in own else {}
        tags = {**mapping(single.get("custom_tags")), **job.tags}
        whole = {**found, **single, **({"custom_tags": tags} if tags else {})}
        return {name: value for name, value in whole.items() if value is not None}

    # Native settings

    def native_of_trial(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in own:
            self.carry_native(name, f"{_TASK}.{name}" if name in OF_THE_TASK else name)
        return part_of(own)

    # What the service would refuse

    def findings(self, request: Request) -> Iterator[Finding]:
        image = mapping(mapping(task_of(request).get("new_cluster")).get("docker_image")).get("url")
        verdict = judge_text(IMAGE, image)
        if verdict is not None:
            yield f"{_CLUSTER}.docker_image.url", verdict

    def violations(self, request: Request) -> Iterator[Violation]:
        task = task_of(request)
        if self._helped and self._volume is None:
            self._ledger.note("trial.source", Support.UNSUPPORTED, _NO_VOLUME)
        if not self._helped and not any(name.endswith("_task") for name in task):
            message = "an image's own program does not start here; give a command or a function, or databricks: {python_wheel_task: …}"
            self._ledger.note("trial.image", Support.UNSUPPORTED, message)
        cluster = task.get("new_cluster")
        if isinstance(cluster, Mapping) and not cluster.get("spark_version") and not cluster.get("policy_id"):
            path = "compute.instance" if self._job.compute.instance else f"{self._native_at}.new_cluster"
            self._ledger.note(path, Support.UNSUPPORTED, _NO_RUNTIME)
        if not self._patch:
            return  # all of it is ours
        try:
            yield from problems(request)
        except Unchecked as error:
            self._ledger.note(self._native_at, Support.UNCHECKED, str(error))

    def _path_of(self, target: str) -> str:
        """Return the field of the spec that a field of the request came from."""
        found = self._ledger.field_at(self._job, target)
        return found or f"{self._native_at}.{target.removeprefix(f'{_TASK}.')}"
