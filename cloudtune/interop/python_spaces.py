"""The formats of search spaces in Python modules: HyperOpt and Ray Tune."""

import importlib
import inspect
import sys
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError, Problem, SpecError
from cloudtune.interop import legal_job_name, legal_names, note_of_name, with_legal_names
from cloudtune.interop.first_trials import with_first
from cloudtune.interop.formats import Format, Imported, Note
from cloudtune.plugins.extras import install
from cloudtune.spec.job import TuningJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudtune.space.parameters import Scalar
    from cloudtune.space.space import Entries

    Converted = tuple[Entries, dict[str, Any], list[Note]]
    Converter = Callable[[Any], Converted]

TRIALS = 100
"""The number of trials for a source without one."""

POINTS = "points_to_evaluate"
"""The argument of HyperOpt's ``fmin`` and of Ray Tune's searchers with the points to try first."""

COMMAND = "python train.py"
"""The placeholder for an unknown command."""


def job_of_space(name: str, space: "Entries", source: str, **fields: Any) -> tuple[TuningJob, list[Note]]:
    """Return a job for a space, with placeholders for unknown fields, and notes about them.

    Args:
        name: the job's name.
        space: parameters and variants by name.
        source: the source's name in messages.
        **fields: further fields of the job that are known from the source.

    Raises:
        SpecError: the space or a field is not valid.
    """
    given: dict[str, Any] = {
        "trial": {"command": COMMAND},
        "objective": {"metric": "loss", "goal": "minimize"},
        "strategy": {"type": "bayesian"},
        "limits": {"trials": TRIALS},
    }
    notes = [Note("", f"what runs is not known: {COMMAND} stands in its place; say it in trial")]
    if "objective" not in fields:
        notes.append(Note("", "what is aimed at is not known: the objective is to minimize loss"))
    if "limits" not in fields:
        notes.append(Note("", f"how many trials there are is not known: limits.trials is {TRIALS}"))
    if "strategy" not in fields:
        notes.append(Note("", "how it was searched is not known: the strategy is Bayesian"))
    legal, renamed = with_legal_names(space)
    notes += [Note(theirs, note_of_name(ours)) for theirs, ours in renamed.items()]
    data = {"name": name, **given, **fields, "space": legal}
    return TuningJob.from_data(data, f"the job made of {source}"), notes


class _PythonSpace(Format):
    """The base class of formats whose source is a space at ``module:attribute``."""

    def read(self, source: str, *, study: str | None = None) -> Imported:  # noqa: ARG002  # a source has one space
        space, convert = load(source), self._converter()
        if inspect.isfunction(space):
            space = _called(space, source)
        try:
            parameters, fields, own = convert(space)
        except (ValueError, OverflowError, TypeError, NotImplementedError) as error:
            path, colon, message = str(error).partition(": ")
            raise SpecError([Problem(path if colon else "", message if colon else path)], source) from None
        name = legal_job_name(source.partition(":")[0].rpartition(".")[2], "job")
        job, notes = job_of_space(name, parameters, source, **fields)
        given = [self._given(space, point) for point in _points_beside(source)]
        job, first = with_first(job, given, legal_names(parameters), POINTS)
        return Imported(job, (*own, *notes, *first))

    @abstractmethod
    def _given(self, space: Any, point: Mapping[str, Any]) -> "Mapping[str, Scalar]":
        """Return the values of one of the library's points to evaluate first, by the names of the space's parameters."""

    @abstractmethod
    def _converter(self) -> "Converter":
        """Return a function that converts a space of the library to parameters, further fields of the job, and notes.

        The function raises ValueError for a space that it cannot convert, with a message ``PATH: REASON``.

        Raises:
            ConfigError: the library is not installed.
        """


class HyperoptSpace(_PythonSpace):
    """The format HyperOpt."""

    name = "hyperopt"
    summary = "a space of HyperOpt, as module:attribute; the module is executed"

    def _converter(self) -> "Converter":
        try:
            from hyperopt.pyll.base import as_apply  # noqa: PLC0415  # optional

            from cloudtune.interop.hyperopt import space_from_hyperopt  # noqa: PLC0415  # as above
        except ImportError as error:
            raise _missing("hyperopt", "hyperopt", error) from None

        def convert(space: Any) -> "Converted":
            graph = str(as_apply(space))
            rounds = any(name in graph for name in ("quniform", "qloguniform", "uniformint"))
            notes = [Note("", _ROUNDED)] if rounds else []
            return space_from_hyperopt(space, notes), {}, notes

        return convert

    def _given(self, space: Any, point: Mapping[str, Any]) -> "Mapping[str, Scalar]":
        from cloudtune.interop.hyperopt import values_by_name  # noqa: PLC0415  # optional

        return values_by_name(space, point)


_ROUNDED = "rounded distributions (quniform and the like) become evenly spaced values, all equally likely"


class RayTuneSpace(_PythonSpace):
    """The format Ray Tune."""

    name = "ray-tune"
    summary = "a space, a Tuner or a scheduler of Ray Tune, as module:attribute; the module is executed"

    def _converter(self) -> "Converter":
        try:
            from cloudtune.interop.ray_schedulers import source_of  # noqa: PLC0415  # optional
            from cloudtune.interop.ray_tune import grid_names, space_from_ray_tune  # noqa: PLC0415
        except ImportError as error:
            raise _missing("Ray Tune", "ray-tune", error) from None

        def convert(given: Any) -> "Converted":
            source = source_of(given)
            space, notes = source.space, source.notes
            parameters, grid = space_from_ray_tune(space, notes), grid_names(space)
            varied = [name for name, parameter in parameters.items() if parameter.type != "constant"]
            if grid and set(grid) == set(varied) and "strategy" not in source.fields:
                return parameters, {**source.fields, "strategy": {"type": "grid"}, "limits": {}}, notes
            notes += [
                Note(name, "Ray tries each of these values in turn; here it is drawn like others") for name in grid
            ]
            return parameters, source.fields, notes

        return convert

    def _given(self, space: Any, point: Mapping[str, Any]) -> "Mapping[str, Scalar]":  # noqa: ARG002  # no names of its own
        from cloudtune.interop.ray_tune import flat  # noqa: PLC0415  # optional

        return flat(point)


def _points_beside(source: str) -> list[Mapping[str, Any]]:
    """Return what stands as ``points_to_evaluate`` in the module of a space, as both libraries call it; [] for none."""
    points = getattr(importlib.import_module(source.partition(":")[0]), POINTS, None)
    if not isinstance(points, list | tuple):
        return []
    return [point for point in points if isinstance(point, Mapping)]


def _called(space: "Callable[[], Any]", source: str) -> Any:
    """Call a function of the user and return the space.

    Raises:
        ConfigError: the function raises.
    """
    try:
        return space()
    except Exception as error:  # whatever the user's function raises
        raise ConfigError(f"{source} cannot be called: {type(error).__name__}: {error}") from error


def _missing(what: str, extra: str, error: ImportError) -> ConfigError:
    return ConfigError(f"{what} cannot be loaded ({error}); install it with: {install(extra)}")


def load(place: str) -> Any:
    """Import a module, also from the working folder, and return the object at ``module:attribute``.

    Raises:
        ConfigError: the module cannot be imported, or has no such attribute.
    """
    module, _, attribute = place.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{place!r} names no space; write module:attribute, such as train:space")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        raise ConfigError(f"the module {module!r} cannot be loaded: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{module!r} has no {attribute!r}")
        found = getattr(found, part)
    return found
