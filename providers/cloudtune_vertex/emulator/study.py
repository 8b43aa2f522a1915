"""One study of Vertex AI Vizier: suggests trials by a strategy of cloudtune, and goes by what is told of them."""

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from cloudtune.driver.limits import UNCAPPED
from cloudtune.search import Search as AskTell
from cloudtune.spec.job import Limits
from cloudtune_vertex.emulator.errors import Refused, not_found
from cloudtune_vertex.emulator.model import Message, stamp
from cloudtune_vertex.emulator.rules import check_measurement
from cloudtune_vertex.emulator.searching import Search
from cloudtune_vertex.emulator.study_trial import StudyTrial, key_of, values_of


class Study:
    """One study; the caller holds `lock` in every call.

    Args:
        request: the Study in JSON.
        spec: its StudySpec, of protobuf, which keeps the service's rules.
        name: ``projects/P/locations/L/studies/ID``.
        seed: of the search; None for any.

    Raises:
        Refused: its parameters make no space.
    """

    def __init__(self, request: Mapping[str, Any], spec: Message, name: str, seed: int | None) -> None:
        self._request, self._spec, self._name = request, spec, name
        self.lock = threading.RLock()
        self._created = time.time()
        self._most = spec.study_stopping_config.max_num_trials.value or UNCAPPED
        self._search = Search(spec, Limits(trials=self._most))
        job = self._search.job
        self._tuner = AskTell(
            job.space, job.objective, job.strategy, seed=seed, stopping=job.stopping, constraints=job.constraints
        )
        self._trials: dict[str, StudyTrial] = {}
        self._made = 0
        self._exhausted = False

    @property
    def display_name(self) -> str:
        """Its display name."""
        return str(self._request["displayName"])

    @property
    def state(self) -> str:
        """The state, of Study.State."""
        return "COMPLETED" if self._exhausted or self._made >= self._most else "ACTIVE"

    def message(self) -> dict[str, Any]:
        """Return it in JSON."""
        return {**self._request, "name": self._name, "createTime": stamp(self._created), "state": self.state}

    # Trials

    def trial(self, name: str) -> StudyTrial:
        """Return a trial by its name.

        Raises:
            Refused: there is none.
        """
        found = self._trials.get(name.rpartition("/")[2])
        if found is None:
            raise not_found("Trial", name)
        return found

    @property
    def trials(self) -> list[dict[str, Any]]:
        """All trials in JSON, in the order in which they were made."""
        return [trial.message() for trial in self._trials.values()]

    def suggest(self, client: str, count: int) -> list[dict[str, Any]]:
        """Return trials for a client: those that it has not completed, then requested ones, then new ones.

        "If multiple SuggestTrialsRequests have the same client_id, the service will return the identical suggested Trial if
        the Trial is pending, and provide a new Trial if the last suggested Trial was completed."

        Raises:
            Refused: the request is not valid.
        """
        if count < 1 or not client:
            raise Refused("INVALID_ARGUMENT", "suggestion_count must be positive, and client_id be given.")
        trials = self._trials.values()
        found = [trial for trial in trials if trial.client == client and trial.state == "ACTIVE"]
        found += [trial for trial in trials if trial.state == "REQUESTED"][: max(0, count - len(found))]
        while len(found) < count and self.state == "ACTIVE":
            new = self._tuner.ask()
            if new is None:
                self._exhausted = True
            else:
                found.append(self._add(new.number, self._search.told(new.parameters)))
        for trial in found[:count]:
            trial.begin(client)
        return [trial.message() for trial in found[:count]]

    def request(self, parameters: Iterable[Message]) -> dict[str, Any]:
        """Add a trial of a client's own, which is suggested next, and return it in JSON.

        Raises:
            Refused: it is no trial of the study.
        """
        values = self._search.read(parameters)
        try:
            suggestion = self._tuner.attach(values)
        except ValueError as error:
            raise Refused("INVALID_ARGUMENT", f"The parameters are not of the study: {error}") from None
        return self._add(suggestion.number, self._search.told(suggestion.parameters)).message()

    def _add(self, number: int, parameters: list[dict[str, Any]]) -> StudyTrial:
        self._made += 1
        trial = self._trials[str(self._made)] = StudyTrial(self._name, str(self._made), number, parameters)
        return trial

    def measure(self, name: str, measurement: Message) -> dict[str, Any]:
        """Add a measurement to a trial, and return the trial in JSON.

        Raises:
            Refused: there is no such trial, it has ended, or the measurement is not valid.
        """
        trial = self.trial(name)
        trial.refuse_ended()
        check_measurement(measurement, self._spec, final=False)
        if trial.measurements and key_of(measurement) <= key_of(trial.measurements[-1]):
            raise Refused("INVALID_ARGUMENT", "Measurements must be ordered by step_count and elapsed_duration.")
        trial.measure(measurement)
        if self._tuner.report(trial.number, measurement.step_count, values_of(measurement)):
            trial.hopeless = True
        return trial.message()

    def should_stop(self, name: str) -> bool:
        """Return whether a trial should stop, and have it stopping then.

        Raises:
            Refused: there is no such trial, or it has ended.
        """
        trial = self.trial(name)
        trial.refuse_ended()
        if trial.hopeless:
            trial.state = "STOPPING"
        return trial.state == "STOPPING"

    def stop(self, name: str) -> dict[str, Any]:
        """Have a trial stopping, and return it in JSON.

        Raises:
            Refused: there is no such trial, or it has ended.
        """
        trial = self.trial(name)
        trial.refuse_ended()
        trial.state = "STOPPING"
        return trial.message()

    def complete(self, name: str, final: Message | None, *, infeasible: bool, reason: str) -> dict[str, Any]:
        """End a trial, and return it in JSON.

        Args:
            name: of the trial.
            final: its final measurement; None for one of those that were added (measurement_selection_type).
            infeasible: whether it has no result.
            reason: why it has none.

        Raises:
            Refused: there is no such trial, it has ended, or the measurement is not valid.
        """
        trial = self.trial(name)
        trial.refuse_ended()
        if reason and not infeasible:
            raise Refused("INVALID_ARGUMENT", "infeasible_reason is for trials that are infeasible.")
        if final is not None and not infeasible:
            check_measurement(final, self._spec, final=True)
        chosen = None if infeasible else final or self._selected(trial)
        trial.end(chosen, reason)
        if chosen is None:
            self._tuner.tell(trial.number, state="failed")
        else:
            self._tuner.tell(trial.number, values_of(chosen))
        return trial.message()

    def _selected(self, trial: StudyTrial) -> Message | None:
        """Return the measurement that counts where the client gives none; None where none has all metrics."""
        names = {metric.metric_id for metric in self._spec.metrics}
        whole = [each for each in trial.measurements if set(values_of(each)) == names]
        objective = self._search.job.objective[0]
        if not whole or objective.measurement != "best" or len(self._search.job.objective) > 1:
            return whole[-1] if whole else None
        best = min if objective.goal == "minimize" else max
        return best(whole, key=lambda each: values_of(each)[objective.metric])

    def delete(self, name: str) -> None:
        """Forget a trial.

        Raises:
            Refused: there is none.
        """
        trial = self.trial(name)
        if not trial.ended:
            self._tuner.tell(trial.number, state="cancelled")
        del self._trials[trial.id]

    @property
    def optimal(self) -> list[dict[str, Any]]:
        """The best trial in JSON, or for several metrics those that no other is better than in all of them."""
        best = self._tuner.best
        numbers = {each.number for each in (self._tuner.front if best is None else [best])}
        return [trial.message() for trial in self._trials.values() if trial.number in numbers]
