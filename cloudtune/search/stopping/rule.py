"""The interface of stopping rules: judge a trial by what it reports."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import StoppingSpec
from cloudtune.store.records import TrialState


class StoppingRule(ABC):
    """Judges running trials by what they report.

    Losses are lower-is-better whatever the objective's goal. Of several objectives the first one is judged. A rule is a
    function of the reports and ends in their order, and of nothing else: a resume replays them to a new one.

    A package adds a rule by an entry point of the group ``cloudtune.stopping`` that refers to the subclass::

        class PatienceRule(StoppingRule):
            spec = PatienceSpec  # a cloudtune.search.StoppingSpec with the fields type and steps

            def __init__(self, steps: int) -> None: ...
    """

    spec: ClassVar[type[StoppingSpec]]
    """The model of the settings in the spec."""

    @classmethod
    def from_spec(cls, spec: StoppingSpec, objectives: Sequence[Objective]) -> "StoppingRule":  # noqa: ARG003  # some rules need them
        """Return the rule that a spec asks for: by default every field but type is a keyword argument.

        Args:
            spec: the settings.
            objectives: of the search, at least one.
        """
        settings: dict[str, Any] = {name: getattr(spec, name) for name in type(spec).model_fields if name != "type"}
        return cls(**settings)

    @abstractmethod
    def observe(self, number: int, step: int, loss: float) -> bool:
        """Take in a trial's report, and return whether the trial should be stopped (pruned) now.

        Steps of one trial arrive in increasing order; a repeated or smaller step (of a trial that was started
        again) and a loss that is not finite must be ignored and stop nothing.

        Args:
            number: the trial's number.
            step: the trial's own count, from 0 or 1.
            loss: at this step.
        """

    @abstractmethod
    def ended(self, number: int, state: TrialState) -> None:
        """Take in that a trial has ended, and how; it reports no more."""
