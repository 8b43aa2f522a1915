"""The format ``vizier``: a study of Vertex AI Vizier becomes a job that goes on with it, or one that learns from its trials."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cloudtune.errors import ConfigError, Problem, SpecError
from cloudtune.interop import legal_job_name, legal_names, note_of_name
from cloudtune.interop.formats import Format, Imported, Note
from cloudtune.interop.python_spaces import job_of_space
from cloudtune.space.parameters import Scalar
from cloudtune_vertex.space import space_of
from cloudtune_vertex.vizier.spec import VizierSpec

_AT_SERVICE = "projects/"

_RULES = {
    "medianAutomatedStoppingSpec": "median",
    "decayCurveStoppingSpec": "curve",
    "convexAutomatedStoppingSpec": None,
}
"""The study's rules for stopping trials, by the strategy's names of them."""


class VizierStudy(Format):
    """The format Vizier: a study."""

    name = "vizier"
    summary = (
        "a study of Vertex AI Vizier: its full name (projects/…/locations/…/studies/…), or a file of it with its trials"
    )

    def read(self, source: str, *, study: str | None = None) -> Imported:  # noqa: ARG002  # a source is one study
        live = source.startswith(_AT_SERVICE)
        return _Reader(_asked(source) if live else _of_file(source), source, live=live).imported()

    def recognises(self, data: Mapping[str, object]) -> bool:
        return "studySpec" in data and "trialJobSpec" not in data


def _asked(name: str) -> dict[str, Any]:
    """Return a study of the service in JSON, with its trials."""
    from cloudtune_vertex.client import Google, data_of  # noqa: PLC0415  # loads Google's SDK
    from cloudtune_vertex.vizier.places import settings_of  # noqa: PLC0415

    parts = name.split("/")
    if len(parts) != 6:
        raise ConfigError(f"{name!r} is no study; its full name is projects/PROJECT/locations/LOCATION/studies/ID")
    google = Google(settings_of(VizierSpec(project=parts[1], location=parts[3])))
    study = google.call(f"reading the study {name}", google.vizier.get_study, name=name)
    with google.translated(f"reading the trials of {name}"):
        trials = google.patient(lambda: list(google.vizier.list_trials(request={"parent": name, "page_size": 100})))()
    return {**data_of(study), "trials": [data_of(trial) for trial in trials]}


def _of_file(source: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(Path("/dev/stdin" if source == "-" else source).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is neither JSON nor YAML: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("studySpec"), dict):
        message = "it is no Study with a studySpec (projects.locations.studies.get returns one)"
        raise SpecError([Problem("", message)], source)
    return data


class _Reader:
    """Reads one study.

    Args:
        study: the Study in JSON, perhaps with its ``trials``.
        source: its name in messages.
        live: whether it is at the service, so that a job can go on with it.
    """

    def __init__(self, study: Mapping[str, Any], source: str, *, live: bool) -> None:
        self._study, self._spec, self._source, self._live = study, copy.deepcopy(study["studySpec"]), source, live
        self._notes: list[Note] = []

    def imported(self) -> Imported:
        """Return the job, its notes, and where it does not go on with the study the completed trials."""
        names = self._legal()
        space = space_of(self._spec.get("parameters") or [])
        if not space:
            raise SpecError([Problem("studySpec.parameters", "names nothing to search")], self._source)
        objectives = [each for each in self._spec.get("metrics", []) if "safetyConfig" not in each]
        constraints = [each for each in self._spec.get("metrics", []) if "safetyConfig" in each]
        goes_on = self._live and not constraints and all(name == ours for name, ours in names.items())
        fields: dict[str, Any] = {"strategy": self._strategy()} if goes_on else {}
        job, notes = job_of_space(
            legal_job_name(str(self._study.get("displayName", "")), "study"),
            space,  # type: ignore[arg-type]  # entries as a spec writes them
            self._source,
            objective=[_objective(each) for each in objectives],
            constraints=[_constraint(each) for each in constraints],
            **fields,
        )
        if self._live and not goes_on:
            why = "its safety metrics" if constraints else "names that a spec cannot have"
            self._notes.append(Note("", f"a job cannot go on with this study for {why}; it learns from its trials"))
        rows = () if goes_on else tuple(self._rows(names, space))
        return Imported(job, (*self._notes, *notes), rows)

    def _legal(self) -> dict[str, str]:
        """Give the parameters names that a spec may have; return these by the study's."""
        parameters = list(_all_of(self._spec.get("parameters") or []))
        names = legal_names(dict.fromkeys(str(each.get("parameterId", "")) for each in parameters))
        for each in parameters:
            theirs = str(each.get("parameterId", ""))
            each["parameterId"] = names[theirs]
            if names[theirs] != theirs:
                self._notes.append(Note(theirs, note_of_name(names[theirs])))
            if each.get("scaleType") == "UNIT_REVERSE_LOG_SCALE":
                self._notes.append(Note(theirs, "its reverse logarithmic scale is the service's own: linear here"))
        return names

    def _strategy(self) -> dict[str, Any]:
        """Return the strategy that goes on with the study."""
        strategy: dict[str, Any] = {"type": "vizier", "study": self._study["name"]}
        _, project, _, location, _, _ = str(self._study["name"]).split("/")
        strategy |= {"project": project, "location": location}
        rule = next((rule for rule in _RULES if rule in self._spec), None)
        if rule is not None and _RULES[rule] is not None:
            strategy["early_stopping"] = _RULES[rule]
        elif rule is not None:
            self._notes.append(Note(f"studySpec.{rule}", "the study stops trials by a rule that is not asked here"))
        return strategy

    def _rows(self, names: Mapping[str, str], space: Mapping[str, Any]) -> Iterator[dict[str, Scalar]]:
        """Yield the completed trials."""
        for trial in self._study.get("trials", []):
            if trial.get("state") != "SUCCEEDED" or "finalMeasurement" not in trial:
                continue
            told = {each["parameterId"]: each.get("value") for each in trial.get("parameters", [])}
            row = {names[name]: _plain(space[names[name]], value) for name, value in told.items() if name in names}
            metrics = trial["finalMeasurement"].get("metrics", [])
            yield {**row, **{str(each["metricId"]): float(each.get("value", 0.0)) for each in metrics}}


def _all_of(parameters: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield parameters, and those below them."""
    for each in parameters:
        _with_whole_numbers(each)
        yield each
        yield from _all_of([child["parameterSpec"] for child in each.get("conditionalParameterSpecs", [])])


def _with_whole_numbers(parameter: dict[str, Any]) -> None:
    """Fill in bounds that JSON leaves out as 0, and read 64-bit integers, which are texts there."""
    for kind, read in (("integerValueSpec", int), ("doubleValueSpec", float)):
        if kind in parameter:
            bounds = parameter[kind]
            parameter[kind] = {**bounds, **{name: read(bounds.get(name, 0)) for name in ("minValue", "maxValue")}}
    for child in parameter.get("conditionalParameterSpecs", []):
        if "parentIntValues" in child:
            child["parentIntValues"] = {"values": [int(value) for value in child["parentIntValues"]["values"]]}


def _objective(metric: Mapping[str, Any]) -> dict[str, Any]:
    # "GOAL_TYPE_UNSPECIFIED: Goal Type will default to maximize."
    return {"metric": metric["metricId"], "goal": "minimize" if metric.get("goal") == "MINIMIZE" else "maximize"}


def _constraint(metric: Mapping[str, Any]) -> dict[str, Any]:
    side = "max" if metric.get("goal") == "MINIMIZE" else "min"
    return {"metric": metric["metricId"], side: metric["safetyConfig"].get("safetyThreshold", 0.0)}


def _plain(entry: Mapping[str, Any], value: Any) -> Scalar:
    """Return a value as the spec has it: numbers of categories are texts at the service, whole numbers doubles."""
    if isinstance(value, str) and entry["type"] == "categorical":
        return next(
            (each for each in entry["values"] if not isinstance(each, str) and json.dumps(each) == value), value
        )
    whole = isinstance(value, float) and value.is_integer() and entry["type"] != "float"
    return int(value) if whole else value
