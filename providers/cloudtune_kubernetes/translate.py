"""From the spec to the Job that runs one trial, or to an Experiment of Katib, and an account of where each field went.

Pure: no network, no credentials.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from cloudtune.interop.katib.own import NAME as KATIB
from cloudtune.interop.katib.writing import plan
from cloudtune.planning.known_values import IMAGE, Finding, judge_text
from cloudtune.planning.mode import Reason
from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.planning.plan import Ledger, Machines, Plan, Support
from cloudtune.planning.translation import Request, Translation
from cloudtune.planning.violations import Violation
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.fields import alternatives
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto
from cloudtune.store.secrets import masked
from cloudtune_kubernetes.capabilities import SUPPORT
from cloudtune_kubernetes.katib import experiment, imported, space
from cloudtune_kubernetes.katib.reasons import reasons
from cloudtune_kubernetes.pod import PROVIDER, SPOT, TEMPLATE, helped
from cloudtune_kubernetes.schema import problems
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.values import driven_codec
from cloudtune_kubernetes.workload import MERGING, JobWriter, job_in, part_of_job

_NO_IMAGE = 'no image to run in; give trial.image, or image = "…" in the profile'
_OF_EXPERIMENTS = "is a part of Experiments: of no effect in a driven run"
_OF_ANOTHER_KIND = "is a part of a Job, and the imported template is none; say it there, under native: {katib: …}"


def translate(job: TuningJob, settings: KubernetesSettings | None = None) -> Plan:
    """Return the plan for a cluster: the whole request, and a note for each field that is not carried exactly.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose mode says whether the request is the Job (batch/v1) that each trial is (driven), or an Experiment of
        Katib (managed). ``${run}``, ``${code}`` and ``${data:NAME}`` in it are known when the run starts, ``${trial}`` when
        a trial does.
    """
    kind = ImportedTranslation if space.is_imported(job) else ClusterTranslation
    return kind(job, settings or KubernetesSettings()).plan()


def codec_of(job: TuningJob, mode: str) -> SpaceCodec:
    """Return how the values of a job's space travel: as they stand, in JSON, or by Katib.

    Args:
        job: the spec.
        mode: of the plan.
    """
    return space.codec_of(job) if mode == "managed" else driven_codec(job)


class ClusterTranslation(Translation):
    """One translation of one job to a cluster."""

    provider, service, support, merging = PROVIDER, "Kubernetes", SUPPORT, MERGING

    def __init__(self, job: TuningJob, settings: KubernetesSettings) -> None:
        super().__init__(job if job.mode != "auto" or settings.katib else job.driven())
        self._settings = settings

    def reasons(self) -> Iterable[Reason]:
        return reasons(self._job, space.codec_of(self._job))

    def machines(self, request: Request) -> Machines | None:  # noqa: ARG002  # the job says it
        named = alternatives(self._job.compute.instance, PROVIDER)
        return Machines(named[0] if named else "pod", self._job.compute.count)

    def plain_job(self) -> Request:
        self._of_the_cluster()
        self.note_sources(f"{TEMPLATE}.spec.containers[0].command", helped=helped(self._job))
        if isinstance(self._job.stopping, Auto):
            self.note("stopping", "stopping.auto")
        request = JobWriter(self._job, self._settings, self._ledger).write()
        volumes = {each["name"]: each for each in request["spec"]["template"]["spec"]["volumes"]}
        if "emptyDir" in volumes["files"]:
            self._note_unkept()
        return request

    def _note_unkept(self) -> None:
        """Note what needs checkpoints that outlive a pod."""
        if getattr(self._job.stopping, "resume", None) == "checkpoint":
            self.note("stopping.resume", "stopping.unkept")
        if self._job.strategy.type == "population":
            self.note("strategy", "stopping.unkept")

    def tuning_job(self) -> Request:
        self._of_the_cluster()
        if self._job.mode == "managed":
            self.note("mode", "mode.managed")
        part = Ledger(PROVIDER)
        trial = JobWriter(self._job, self._settings, part).write()
        part.copy_to(self._ledger, experiment.TEMPLATE)
        codec = space.codec_of(self._job)
        return experiment.ExperimentWriter(self._job, self._ledger, codec, self._settings.namespace).write(trial)

    def _of_the_cluster(self) -> None:
        network, encryption = self._job.network, self._job.encryption
        if network is not None:
            self.note_given("network", "name", "subnets", "security_groups", row="network")
            self.note_isolation(network.isolated, ensured=self._settings.isolated)
        if encryption is not None:
            self.note("encryption")
        if self._job.region is not None:
            self.note("region")

    # Native settings

    def native_of_trial(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        if "katib" in own:
            self.note_native("katib", _OF_EXPERIMENTS)
        return self._of_job(own, "")

    def _all_native(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {} if own.get("katib") is None else self._parts_of("katib", own["katib"], "")
        job = self._of_job(own, f"{experiment.TEMPLATE}.")
        template = {"spec": {"trialTemplate": {"trialSpec": job}}} if job else {}
        merged: dict[str, Any] = MERGING.merge(template, given)
        return merged

    def _of_job(self, own: Mapping[str, Any], below: str) -> dict[str, Any]:
        """Return the part of a Job that native settings are; account for each of them."""
        kept = {name: value for name, value in own.items() if name != "katib"}
        for name, value in kept.items():
            if name == "job":
                self._parts_of(name, value, below)
            else:
                self.carry_native(name, f"{below}{TEMPLATE}.{name}")
        return part_of_job(kept)

    def _parts_of(self, name: str, given: Any, below: str) -> Mapping[str, Any]:
        """Return a native setting that is a part of an object at a path; account for each of its own parts."""
        if not isinstance(given, Mapping):
            message = "must be an object, with metadata or spec"
            self._ledger.note(f"{self._native_at}.{name}", Support.UNSUPPORTED, message)
        for part in mapping(given):
            self.carry_native(f"{name}.{part}", f"{below}{part}")
        return mapping(given)

    # What the API would refuse

    @property
    def _below(self) -> str:
        """The path of the trial's Job within the request, with a dot; "" for the request itself."""
        return "" if self._mode.driven else f"{experiment.TEMPLATE}."

    def findings(self, request: Request) -> Iterator[Finding]:
        for index, container in enumerate(self._containers(request)):
            verdict = judge_text(IMAGE, container.get("image"))
            if verdict is not None:
                yield f"{self._below}{TEMPLATE}.spec.containers[{index}].image", verdict

    @staticmethod
    def _containers(request: Request) -> list[Mapping[str, Any]]:
        template = mapping(mapping(job_in(request).get("spec")).get("template"))
        return list(mappings(mapping(template.get("spec")).get("containers")))

    def violations(self, request: Request) -> Iterator[Violation]:
        if not all(container.get("image") for container in self._containers(request)):
            self._ledger.note("trial.image", Support.UNSUPPORTED, _NO_IMAGE)
        spot = self._settings.spot
        if self._job.compute.spot and isinstance(spot, str) and spot not in SPOT:
            message = f"the profile's spot = {spot!r} is none of {', '.join(SPOT)}, and no part of a pod's spec"
            self._ledger.note("compute.spot", Support.UNSUPPORTED, message)
        for found in problems(job_in(request)):
            yield Violation(f"{self._below}{found.path}", found.words, strange=found.strange)
        if not self._mode.driven:
            yield from experiment.mistakes_of(request)

    def _path_of(self, target: str) -> str:
        """Return the field of the spec that a field of the request came from."""
        if target.endswith(".image"):
            return self._ledger.field_at(self._job, target) or "trial.image"
        return self._ledger.field_at(self._job, target) or f"{self._native_at}.{self._native(target)}"

    def _native(self, target: str) -> str:
        """Return the native setting that a field of the request is."""
        inside = target.removeprefix(self._below)
        if self._below and inside == target:
            return f"katib.{target}"
        below = inside.removeprefix(f"{TEMPLATE}.")
        return below if below != inside else f"job.{inside}"


class ImportedTranslation(ClusterTranslation):
    """The same of a job with the settings of an imported Experiment, which Katib gets as it was."""

    reads = (KATIB,)

    @cached_property
    def _written(self) -> Plan:
        return plan(masked(self._job))

    def reasons(self) -> Iterable[Reason]:
        return imported.reasons(self._written)

    def plain_job(self) -> Request:
        self._ledger.note(imported.NATIVE, Support.APPROXIMATE, _OF_EXPERIMENTS)
        return super().plain_job()

    def tuning_job(self) -> Request:
        self._of_the_cluster()
        self.note_given("limits", "time", "cost", "no_improvement")
        if self._job.mode == "managed":
            self.note("mode", "mode.managed")
        made = imported.experiment_of(self._job, self._written, self._settings.namespace, self._ledger)
        self.note("name", "name.katib", "metadata.name")
        return made

    def _of_job(self, own: Mapping[str, Any], below: str) -> dict[str, Any]:
        for name in own:
            if not self._runs_a_job and below and name != "katib":
                self._ledger.note(f"{self._native_at}.{name}", Support.UNSUPPORTED, _OF_ANOTHER_KIND)
        return super()._of_job(own, below)

    @property
    def _runs_a_job(self) -> bool:
        return bool(mapping(job_in(self._written.request)).get("kind") == "Job")

    def violations(self, request: Request) -> Iterator[Violation]:
        refused = any(note.support is Support.UNSUPPORTED for note in self._written.notes)
        if self._mode.driven or (self._runs_a_job and not refused):
            yield from super().violations(request)
        elif not refused:  # of templates of other kinds the cluster knows the fields
            yield from experiment.mistakes_of(request)

    def _path_of(self, target: str) -> str:
        if self._mode.driven:
            return super()._path_of(target)
        found = self._ledger.field_at(self._job, target)
        return f"{imported.NATIVE}.{target}" if found is None or found.startswith(imported.NATIVE) else found
