"""The format of Katib's Experiments (kubeflow.org/v1beta1).

Parts of an experiment that a job cannot express are kept under ``native: {katib: …}``, so that exporting an imported
job gives the same experiment. Any member of an experiment may be given there; it is merged last.
"""

from collections.abc import Mapping

from cloudtune.interop.documents import read_documents
from cloudtune.interop.formats import Exported, Format, Imported
from cloudtune.interop.katib.model import API_VERSION, KIND
from cloudtune.interop.katib.reading import experiment_in, parse
from cloudtune.interop.katib.writing import plan
from cloudtune.spec.job import TuningJob


class Katib(Format):
    """The format Katib, an Experiment in a file."""

    name = "katib"
    summary = "a file with an Experiment of Katib (kubeflow.org/v1beta1)"

    def read(self, source: str, *, study: str | None = None) -> Imported:
        return parse(experiment_in(read_documents(source), study))

    def recognises(self, data: Mapping[str, object]) -> bool:
        return (data.get("apiVersion"), data.get("kind")) == (API_VERSION, KIND)

    def write(self, job: TuningJob) -> Exported:
        planned = plan(job)
        planned.refuse(strict=job.strict)
        return Exported(dict(planned.request), planned.notes)
