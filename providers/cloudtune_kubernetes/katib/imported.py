"""Experiments that were imported: run by Katib as their export writes them, but for the run's own name and label.

Such a job has what no field of the spec can say under ``native: {katib: …}``; see `cloudtune.interop.katib.reading`. Its
trials start as the Experiment says, without the trial helper.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.upload import filled
from cloudtune.interop.documents import path_text
from cloudtune.interop.katib.model import PRIMARY
from cloudtune.interop.katib.own import NAME, NAMES
from cloudtune.interop.katib.templates import placed_containers
from cloudtune.interop.katib.writing import plan
from cloudtune.planning.mode import Reason
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.plan import Beside, Ledger, Plan, Support, covers, leaves
from cloudtune.planning.replaced import note_replaced
from cloudtune.planning.translation import with_environment
from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import kept_environment, masked
from cloudtune_kubernetes.names import RUN

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

NATIVE = f"native.{NAME}"
"""The path of the settings in the spec."""

_LEFT_OUT = ("constraints", "first")
"""Fields that an export leaves out with a note, and a run does not."""

_OTHERWISE = ("name", "strict", "mode", "native", "network", "region", "encryption", "notify", "limits.time", "limits.cost", "limits.no_improvement")  # fmt: skip
"""Fields that a run accounts for otherwise than an export, which nothing of cloudtune follows."""


_AS_THEY_STAND = ("trial.image", "trial.environment", "objective[0].metric", "objective[0].goal", "tags.")
"""Fields that are in the Experiment as they stand."""


def reasons(written: Plan) -> Iterator[Reason]:
    """Yield what in a job its export cannot say."""
    for note in written.notes:
        if (note.support is Support.UNSUPPORTED and not covers(NATIVE, note.path)) or note.path in _LEFT_OUT:
            yield note.path, "katib.imported"


def experiment_of(job: TuningJob, written: Plan, namespace: str | None, ledger: Ledger) -> dict[str, Any]:
    """Return the Experiment of a run; account for each field that it has, or has not.

    Args:
        job: the spec.
        written: the plan of its export.
        namespace: of the profile; None for the context's.
        ledger: takes the account.
    """
    request: dict[str, Any] = dict(written.request)
    _account_for_fields(job, written, ledger)
    _account_for_native(job, ledger, namespace)
    note_replaced(ledger, job, NATIVE, _neutral(job), request)
    made = {name: value for name, value in mapping(request.get("metadata")).items() if name not in ("namespace", "generateName")}  # fmt: skip
    labels = {**mapping(made.get("labels")), RUN: "${run}"}
    return {
        **request,
        "metadata": {**made, "name": "${run}", **({"namespace": namespace} if namespace else {}), "labels": labels},
    }


def _account_for_fields(job: TuningJob, written: Plan, ledger: Ledger) -> None:
    given, place = [path for path, _ in leaves(job)], _place_of_program(written.request)
    for path, target in written.carried.items():
        if any(covers(each, path) for each in _OTHERWISE):
            continue
        there = target if target and "…" not in target and not target.startswith("resources.") else place
        if path == "compute.count" or not any(covers(path, leaf) for leaf in given):
            ledger.carry(path, Beside.DEFAULT)
        elif there and path.startswith(_AS_THEY_STAND):
            ledger.carry(path, there)
        else:
            ledger.note(path, Support.ENCODED, "in Katib's words", there)
    for note in written.notes:
        if covers(NATIVE, note.path) or not any(covers(each, note.path) for each in _OTHERWISE):
            ledger.note(note.path, note.support, note.message)


def _place_of_program(request: Mapping[str, Any]) -> str:
    """Return the path of the container of the job's program; "" for a template that has none."""
    template = mapping(mapping(request.get("spec")).get("trialTemplate"))
    primary = str(template.get("primaryContainerName", PRIMARY))
    at = ("spec", "trialTemplate", "trialSpec")
    return next((path_text(place) for place, _ in placed_containers(template.get("trialSpec"), primary, at)), "")


def _account_for_native(job: TuningJob, ledger: Ledger, namespace: str | None) -> None:
    for name, value in job.native_settings(NAME).items():
        if name == NAMES:
            ledger.note(f"{NATIVE}.{name}", Support.ENCODED, "Katib's names of parameters")
        elif name == "metadata" and isinstance(value, Mapping):
            _account_for_metadata(value, ledger, namespace)
        else:
            ledger.carry(f"{NATIVE}.{name}", name)


def _account_for_metadata(given: Mapping[str, Any], ledger: Ledger, namespace: str | None) -> None:
    for name, value in given.items():
        path = f"{NATIVE}.metadata.{name}"
        if name in ("name", "generateName"):
            ledger.note(path, Support.ENCODED, "the Experiment's name is that of the run", "metadata.name")
        elif name == "namespace" and value != namespace:
            ledger.note(path, Support.APPROXIMATE, f"runs are in the namespace of the profile, {namespace or 'the one of its context'}")  # fmt: skip
        else:
            ledger.carry(path, f"metadata.{name}")


def _neutral(job: TuningJob) -> Mapping[str, Any]:
    """Return what the fields of the spec alone say."""
    names = {key: value for key, value in job.native_settings(NAME).items() if key == NAMES}
    return plan(masked(job).model_copy(update={"native": {NAME: names}})).request


def final_experiment(run: "RunStore", request: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an Experiment with the run's name and the values of the environment.

    Args:
        run: with the values.
        request: of its plan.
        name: of the run in the cluster.
    """
    made: dict[str, Any] = filled(with_environment(request, kept_environment(run), "env"), {"run": name}.get)
    return made
