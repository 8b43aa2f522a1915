"""The search space and the algorithm of an Experiment, as cloudtune's own search has them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudtune.errors import SpecError
from cloudtune.search import Search
from cloudtune.space.parameters import Scalar
from cloudtune_kubernetes.emulator.katib.searchers import Hyperband, Population, Rounds

ALGORITHMS: Mapping[str, Mapping[str, Any]] = {
    "random": {"type": "random"},
    "grid": {"type": "grid"},
    "sobol": {"type": "sobol"},
    "bayesianoptimization": {"type": "bayesian"},
    "tpe": {"type": "bayesian"},
    "multivariate-tpe": {"type": "bayesian"},
    "cmaes": {"type": "evolutionary"},
    "hyperband": {"type": "random"},
    "pbt": {"type": "random"},
}
"""What answers for Katib's algorithms, or samples for them: values and their order differ from those of Katib's own services."""

OBJECTIVE = "objective"


class BadSpace(ValueError):
    """The parameters make no space, or an algorithm cannot search it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter.

    Attributes:
        name: Katib's.
        key: its name inside, as names of specs are narrower.
        entry: what is searched inside.
        texts: of the values of a list, by their values inside.
    """

    name: str
    key: str
    entry: Mapping[str, Any]
    texts: Mapping[Scalar, str]

    def told(self, value: Scalar) -> str:
        """Return a value as Katib tells it: as text."""
        return self.texts.get(value, str(value))

    def read(self, text: str) -> Scalar:
        """Return the value inside of a text."""
        for value, said in self.texts.items():
            if said == text:
                return value
        return int(text) if self.entry["type"] == "int" else float(text) if self.entry["type"] == "float" else text


def axes_of(spec: Mapping[str, Any]) -> list[Axis]:
    """Return the parameters of an Experiment.

    Raises:
        BadSpace: one of them is not valid.
    """
    if not spec.get("parameters"):
        raise BadSpace("spec.parameters or spec.nasConfig must be specified")
    return [
        _axis(each, f"p{number}", at)
        for number, (each, at) in enumerate(
            (each, f"spec.parameters[{number}]") for number, each in enumerate(spec["parameters"])
        )
    ]


def _axis(given: Mapping[str, Any], key: str, at: str) -> Axis:
    feasible, kind = given.get("feasibleSpace") or {}, given.get("parameterType")
    try:
        if kind in ("double", "int"):
            return Axis(given["name"], key, _range(feasible, kind), {})
        if kind in ("categorical", "discrete"):
            texts = [str(each) for each in feasible["list"]]
            if kind == "categorical":
                return Axis(
                    given["name"], key, {"type": "categorical", "values": texts}, {each: each for each in texts}
                )
            values: dict[Scalar, str] = {float(text): text for text in texts}
            return Axis(given["name"], key, {"type": "ordinal", "values": sorted(map(float, texts))}, values)
    except (KeyError, ValueError, TypeError) as error:
        raise BadSpace(f"{at}.feasibleSpace is not valid: {error}") from None
    raise BadSpace(f"parameterType: {kind} is not supported in {at}.parameterType")


def _range(feasible: Mapping[str, Any], kind: str) -> dict[str, Any]:
    read = int if kind == "int" else float
    scale = "log" if feasible.get("distribution") == "logUniform" else "linear"
    made: dict[str, Any] = {
        "type": "int" if kind == "int" else "float",
        "low": read(feasible["min"]),
        "high": read(feasible["max"]),
    }
    if made["low"] > made["high"]:
        raise ValueError("max should be greater than or equal to min")
    if feasible.get("step") and scale == "linear":
        made["step"] = read(feasible["step"])
    return {**made, "scale": scale}


def settings_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of an Experiment's algorithm."""
    return {each["name"]: str(each["value"]) for each in spec["algorithm"].get("algorithmSettings") or ()}


def search_of(spec: Mapping[str, Any], axes: list[Axis], seed: int | None) -> "Search | Rounds":
    """Return the search of an Experiment.

    Raises:
        BadSpace: its algorithm cannot search its space, or lacks a setting.
    """
    name, sampler = spec["algorithm"]["algorithmName"], _search_of(spec, axes, seed)
    given, sign = settings_of(spec), 1 if spec["objective"]["type"] == "minimize" else -1
    try:
        if name == "hyperband":
            resource = next(axis.key for axis in axes if axis.name == given["resource_name"])
            most, eta = int(float(given["r_l"])), int(given.get("eta", "3"))
            if most < 1 or eta < 2 or spec["parallelTrialCount"] < eta ** int(math.log(most, eta) + 1e-9):
                raise BadSpace(
                    "parallelTrialCount must be not less than eta to the power of log_eta(r_l), r_l at least 1, and eta at least 2"
                )
            return Hyperband(sampler, OBJECTIVE, sign, resource=resource, most=most, eta=eta)
        if name == "pbt":
            _ = given["suggestion_trial_dir"]
            bounds = {
                axis.key: (axis.entry["low"], axis.entry["high"], axis.entry["type"] == "int")
                for axis in axes
                if "low" in axis.entry
            }
            size, share = int(given["n_population"]), float(given["truncation_threshold"])
            return Population(sampler, OBJECTIVE, sign, size=size, share=share, bounds=bounds, seed=sampler.seed)
    except (KeyError, StopIteration, ValueError) as error:
        if isinstance(error, BadSpace):
            raise
        raise BadSpace(f"the settings of the algorithm {name} are not valid: {type(error).__name__}: {error}") from None
    return sampler


def _search_of(spec: Mapping[str, Any], axes: list[Axis], seed: int | None) -> Search:
    """Return cloudtune's own search.

    Raises:
        BadSpace: its algorithm cannot search its space.
    """
    strategy = ALGORITHMS[spec["algorithm"]["algorithmName"]]
    try:
        return Search(
            {axis.key: axis.entry for axis in axes},
            {"metric": OBJECTIVE, "goal": spec["objective"]["type"]},
            strategy,
            seed=seed,
        )
    except SpecError as error:
        raise BadSpace(str(error)) from None
