"""The format of a component of Kubeflow Pipelines that runs a job, on any profile, and hands on its result.

https://www.kubeflow.org/docs/components/pipelines/reference/component-spec/: kfp's `load_component_from_file` reads it.
"""

import json

from pydantic import JsonValue

from cloudtune.errors import ConfigError
from cloudtune.interop.formats import Exported, Format, Imported
from cloudtune.planning.plan import Note, Support
from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.plugins.version import __version__
from cloudtune.spec.job import TuningJob

IMAGE = f"cloudtune:{__version__}"
"""The image of a component whose job names none for all providers: what the project's Dockerfile builds."""

_PROGRAM = """set -eu
mkdir -p "$(dirname "$3")" "$(dirname "$4")"
printf '%s' "$1" > cloudtune-job.yaml
cloudtune run cloudtune-job.yaml --on "$2" --yes --quiet --json > "$3"
python -c 'import json, sys
best = json.load(open(sys.argv[1]))["best"]
json.dump(None if best is None else best["parameters"], open(sys.argv[2], "w"))' "$3" "$4"
"""
"""Runs the job ($1) on a profile ($2), and writes its result ($3) and the best parameters ($4)."""


class Kubeflow(Format):
    """The format Kubeflow, a component in a file."""

    name = "kubeflow"
    summary = "a component of Kubeflow Pipelines that runs the job"
    is_step = True

    def read(self, source: str, *, study: str | None = None) -> Imported:  # noqa: ARG002  # the interface's
        raise ConfigError(f"a component of Kubeflow Pipelines is made by export, not imported: {source}")

    def write(self, job: TuningJob) -> Exported:
        said = job.trial.image
        image = said if isinstance(said, str) else IMAGE
        inputs: list[JsonValue] = [
            {"name": "profile", "type": "String", "default": DEFAULT, "description": "Where the trials run."},
        ]
        outputs: list[JsonValue] = [
            {"name": "result", "type": "Dataset", "description": "What the run came to, as JSON."},
            {"name": "best", "type": "JsonObject", "description": "The parameters of the best trial, as JSON."},
        ]
        container: dict[str, JsonValue] = {
            "image": image,
            "command": ["sh", "-c", _PROGRAM, "cloudtune"],
            "args": [
                json.dumps(job.to_data(), ensure_ascii=False),
                {"inputValue": "profile"},
                {"outputPath": "result"},
                {"outputPath": "best"},
            ],
        }
        described = f"Tunes {', '.join(each.metric for each in job.objective)} by cloudtune."
        component: dict[str, JsonValue] = {
            "name": job.name,
            "description": described,
            "inputs": inputs,
            "outputs": outputs,
        }
        return Exported({**component, "implementation": {"container": container}}, tuple(_notes(job, image)))


def _notes(job: TuningJob, image: str) -> list[Note]:
    """Return what is different in a pipeline; every other field is in the component, which holds the whole job."""
    near = Support.APPROXIMATE
    notes = [
        Note(
            "trial.image",
            near,
            f"the component runs in {image}, which must hold cloudtune with the extra of the profile's provider, and its cloudtune.toml",
        ),
        Note("limits", near, "nobody is asked what the run costs (--yes): limits.cost bounds it"),
    ]
    if job.trial.source is not None or job.trial.command is not None:
        notes.append(Note("trial.source", near, "does not travel: build the program into the image's working folder"))
    if job.trial.environment:
        notes.append(
            Note(
                "trial.environment",
                near,
                "the values stand in the component, where everyone who may read the pipeline can read them",
            )
        )
    if job.limits.time is None:
        notes.append(
            Note(
                "limits.time",
                near,
                "a component that is started again begins a new run: the run before it is in its pod alone",
            )
        )
    return notes
