"""One study of Vertex AI Vizier as a run has it: found again by its name, its trials by the ids of their clients."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions

from cloudtune.driver.listeners import on_this_machine
from cloudtune.errors import ConfigError, ProviderError
from cloudtune.space.space import Values
from cloudtune_vertex.client import Google

_SLOWEST = 300.0
"""Seconds that Vizier may take for one suggestion."""

_LOOKS = (0.1, 2.0)
"""Seconds between the first two looks at whether there is a suggestion, and the most between any two."""

Parameters = list[dict[str, Any]]
"""Trial.parameters in JSON, in the order of the space."""


@dataclass(slots=True)
class _Trial:
    """A trial as far as it is known here.

    Attributes:
        name: its full name.
        state: of Trial.State.
        step: of its last measurement; -1 without any.
    """

    name: str
    state: str
    step: int = -1

    @property
    def ended(self) -> bool:
        return self.state in ("SUCCEEDED", "INFEASIBLE")


class Study:
    """A study, which is made if it is not there.

    Every call may be made again after an answer was lost, and after another process was killed in the middle of it: "if
    suggestion is asked again by same client_id before the Trial is completed, the same Trial will be returned" (study.proto).
    Trials that are suggested together have the client id of the first of them. What a run's clients have there and nobody has
    taken up is suggested before anything else is asked for; a trial that a run's store has is known again by its parameters.

    Args:
        google: the clients.
        known: its full name, as far as it is known; else `name`.
        name: its display name, or its full one, where it is not known or is gone.
        spec: the StudySpec in JSON.
        prefix: with which the ids of the run's clients begin.
        read: returns the values of parameters.

    Attributes:
        name: its full name.
        count: how many trials of clients it had when it was opened.

    Raises:
        ConfigError: there is a study of this name which has other parameters or metrics, or it is no study at all.
        ProviderError: the service refuses, or cannot be reached.
    """

    def __init__(
        self,
        google: Google,
        known: str,
        name: str,
        spec: Mapping[str, Any],
        prefix: str,
        read: Callable[[Parameters], Values],
    ) -> None:
        self._google, self._client, self._read = google, google.vizier, read
        found = self._existing(known, needed=known == name) if known.startswith("projects/") else None
        if found is None:
            found = self._made(name, spec)
        if (difference := _difference(spec, found.study_spec)) is not None:
            raise ConfigError(
                f"the study {name!r} is another problem's: {difference}; give another name in strategy.study"
            )
        self.name = str(found.name)
        self._trials: dict[str, _Trial] = {}
        listed = sorted(self._listed(), key=lambda each: int(each.name.rpartition("/")[2]))
        self._free = [trial for trial in listed if not trial.client_id and trial.state.name == "REQUESTED"]
        self._suggested: list[tuple[Any, Values]] = []
        self._clients: set[str] = set()
        self._keep(trial for trial in listed if trial.client_id.startswith(prefix))
        self.count = sum(1 for trial in listed if trial.client_id)

    def _existing(self, name: str, *, needed: bool) -> Any:
        """Return a study by its full name; None for one that is gone and not needed."""
        try:
            return self._google.call(f"looking for the study {name}", self._client.get_study, name=name)
        except ProviderError as error:
            if error.code == "NotFound" and not needed:
                return None
            raise

    def _made(self, name: str, spec: Mapping[str, Any]) -> Any:
        from google.cloud.aiplatform_v1 import Study as Message  # noqa: PLC0415  # loaded with the client

        from cloudtune_vertex.client import message_of  # noqa: PLC0415

        study, parent = message_of(Message, {"displayName": name, "studySpec": dict(spec)}), self._google.parent

        def create() -> Any:
            try:
                return self._client.create_study(request={"parent": parent, "study": study}, timeout=60.0)
            except exceptions.Conflict:  # a driver that was killed made it, or its answer was lost
                request = {"parent": parent, "display_name": name}
                return self._client.lookup_study(request=request, timeout=60.0)

        with self._google.translated(f"making the study {name!r}"):
            return self._google.patient(create)()

    def _listed(self) -> list[Any]:
        def read() -> list[Any]:
            return list(self._client.list_trials(request={"parent": self.name, "page_size": 100}, timeout=60.0))

        with self._google.translated(f"reading the trials of {self.name}"):
            found: list[Any] = self._google.patient(read)()
            return found

    @property
    def link(self) -> str:
        """Where Google's console shows the studies of the project; of an emulator, its address."""
        endpoint = self._google.settings.endpoint
        if endpoint is not None and on_this_machine(endpoint):
            return f"in the emulator at {endpoint}"
        return f"https://console.cloud.google.com/vertex-ai/experiments/studies?project={self.name.split('/')[1]}"

    # Trials

    def _keep(self, trials: Iterable[Any]) -> None:
        """Keep trials that clients of the run have, and that no number of it has yet."""
        for trial in trials:
            self._clients.add(trial.client_id)
            self._suggested.append((trial, self._read(list(trial.parameters))))

    def has(self, client: str, values: Values, *, alone: bool) -> bool:
        """Return whether a client has a trial, or takes up one of these values that an earlier process had suggested.

        Args:
            client: which has it.
            values: of its trial.
            alone: whether one of other values is meant as well that was suggested to it alone: what a user gave comes back
                from the service rounded.
        """
        if client not in self._trials:
            found = [each for each, has in self._suggested if has == values]
            self._take(client, found or (self._alone(client) if alone else []))
        return client in self._trials

    def _alone(self, client: str) -> list[Any]:
        """Return the last trial that was suggested to a client without others; [] for none."""
        ids = Counter(each.client_id for each, _ in self._suggested)
        own = [each for each, _ in self._suggested if f"{each.client_id}.".startswith(f"{client}.")]
        return [each for each in own if ids[each.client_id] == 1][-1:]

    def _take(self, client: str, among: Sequence[Any]) -> Any:
        """Have a client take up a trial, where possible one that was suggested to it; return that, None where there is none."""
        trial = next((each for each in among if each.client_id == client), next(iter(among), None))
        if trial is not None:
            self._suggested = [pair for pair in self._suggested if pair[0].name != trial.name]
            self._trials[client] = _known(trial)
        return trial

    def suggest(self, client: str, room: int) -> Values | None:
        """Return the values of a new trial, which a client has from now on; None where nothing is left.

        Args:
            client: which is to have it.
            room: how many trials are asked for where none waits: the others wait for the next calls.
        """
        waiting = [each for each, _ in self._suggested if not _known(each).ended]
        trial = self._take(client, waiting or self._asked(client, room))
        return None if trial is None else self._read(list(trial.parameters))

    def _asked(self, client: str, count: int) -> list[Any]:
        """Have new trials suggested to a client, by an id that is new to the study."""
        ids = (client, *(f"{client}.{again}" for again in range(1, len(self._clients) + 1)))
        own = next(each for each in ids if each not in self._clients)
        self._clients.add(own)
        request = {"parent": self.name, "client_id": own, "suggestion_count": count}
        answer = self._answer("asking Vizier for a trial", lambda: self._client.suggest_trials(request, timeout=60.0))
        self._keep(answer.trials)
        return list(answer.trials)

    def give(self, client: str, parameters: Parameters) -> None:
        """Have a client evaluate a trial of its own: add it, and have it suggested to the client."""
        doing = "adding a trial to the study"
        waiting = next((each for each in self._free if _same(each.parameters, parameters)), None)
        if waiting is not None:
            self._free.remove(waiting)
        else:
            request = {"parent": self.name, "trial": {"parameters": parameters}}
            find = lambda: self._added(parameters)  # noqa: E731
            create = lambda: self._client.create_trial(request=request, timeout=60.0)  # noqa: E731
            waiting = self._google.create_once(doing, create, find, look_first=False)
        name, got = waiting.name, [waiting]
        while waiting.state.name == "REQUESTED" and got:  # what somebody else has added may come before it
            got = self._asked(client, 1)
            waiting = next((each for each in got if each.name == name), waiting)
        self._trials[client] = _known(waiting)
        self._suggested = [pair for pair in self._suggested if pair[0].name != name]

    def _added(self, parameters: Parameters) -> Any:
        """Return a trial that was added, and that no client has; None if there is none."""
        known = {trial.name for trial in self._trials.values()}
        free = (each for each in self._listed() if not each.client_id and each.name not in known)
        return next((each for each in free if _same(each.parameters, parameters)), None)

    def measure(self, client: str, step: int, metrics: Mapping[str, float]) -> bool:
        """Tell what a trial reports, and return whether Vizier's rule would end it now.

        A step that is not after the last one that was told tells nothing.
        """
        trial = self._trials[client]
        if trial.ended or step <= trial.step:
            return False
        request = {"trial_name": trial.name, "measurement": _measurement(metrics, step)}

        def add() -> Any:
            return self._client.add_trial_measurement(request=request, timeout=60.0)

        self._google.create_once("telling Vizier what a trial reports", add, lambda: self._measured(trial, step), look_first=False)  # fmt: skip
        trial.step = step
        check = {"trial_name": trial.name}
        answer = self._answer(
            "asking Vizier whether a trial should stop",
            lambda: self._client.check_trial_early_stopping_state(request=check, timeout=60.0),
        )
        return bool(answer.should_stop)

    def _measured(self, trial: _Trial, step: int) -> Any:
        found = self._client.get_trial(request={"name": trial.name}, timeout=60.0)
        return found if any(each.step_count >= step for each in found.measurements) else None

    def succeed(self, client: str, metrics: Mapping[str, float]) -> None:
        """End a trial with its metrics, unless it has ended."""
        trial = self._trials[client]
        self._end(trial, "SUCCEEDED", final_measurement=_measurement(metrics, max(trial.step, 0)))

    def fail(self, client: str, why: str) -> None:
        """End a trial as infeasible, unless it has ended."""
        self._end(self._trials[client], "INFEASIBLE", trial_infeasible=True, infeasible_reason=why)

    def _end(self, trial: _Trial, state: str, **how: Any) -> None:
        if trial.ended:
            return

        def find() -> Any:
            found = self._client.get_trial(request={"name": trial.name}, timeout=60.0)
            return found if found.state.name in ("SUCCEEDED", "INFEASIBLE") else None

        def complete() -> Any:
            return self._client.complete_trial(request={"name": trial.name, **how}, timeout=60.0)

        self._google.create_once("telling Vizier how a trial ended", complete, find, look_first=False)
        trial.state = state

    def forget(self, client: str) -> None:
        """Take a trial away of which nothing can be learnt, unless it has ended or is gone."""
        trial = self._trials.pop(client)
        if trial.ended:
            return

        def delete() -> None:
            try:
                self._client.delete_trial(request={"name": trial.name}, timeout=60.0)
            except exceptions.NotFound:
                return  # an earlier call, whose answer was lost, has deleted it

        with self._google.translated("taking a cancelled trial out of the study"):
            self._google.patient(delete)()

    def _answer(self, doing: str, begin: Callable[[], Any]) -> Any:
        """Return what a long-running operation gives; begun again after errors that may pass."""

        def ended() -> Any:
            operation, until, pause = begin(), time.monotonic() + _SLOWEST, _LOOKS[0]
            while not operation.done():
                if time.monotonic() > until:
                    message = f"Vizier has not answered within {_SLOWEST:g} s while {doing}; resume the run later"
                    raise ProviderError(message, code="DeadlineExceeded", retryable=True)
                time.sleep(pause)
                pause = min(pause * 1.5, _LOOKS[1])
            return operation.result(timeout=60.0)

        with self._google.translated(doing):
            return self._google.patient(ended)()


def _known(trial: Any) -> _Trial:
    steps = [int(each.step_count) for each in trial.measurements]
    return _Trial(str(trial.name), str(trial.state.name), max(steps, default=-1))


def _measurement(metrics: Mapping[str, float], step: int) -> dict[str, Any]:
    return {"step_count": step, "metrics": [{"metric_id": name, "value": value} for name, value in metrics.items()]}


def _same(told: Any, parameters: Parameters) -> bool:
    """Return whether a trial has these parameters."""
    wanted = {each["parameter_id"]: each["value"] for each in parameters}
    return {each.parameter_id: each.value for each in told} == wanted


def _difference(asked: Mapping[str, Any], found: Any) -> str | None:
    """Return how a study's own spec differs from the one that is asked for, in what makes trials comparable; None if it does not."""
    from google.cloud.aiplatform_v1 import StudySpec  # noqa: PLC0415  # loaded with the client

    from cloudtune_vertex.client import data_of, message_of  # noqa: PLC0415

    wanted, there = data_of(message_of(StudySpec, dict(asked))), data_of(found)
    for field, key in (("metrics", "metricId"), ("parameters", "parameterId")):
        mine, theirs = ({each[key]: each for each in spec.get(field, [])} for spec in (wanted, there))
        if mine.keys() != theirs.keys():
            return f"its {field} are {', '.join(sorted(theirs))}, not {', '.join(sorted(mine))}"
        changed = [name for name in mine if _essence(mine[name]) != _essence(theirs[name])]
        if changed:
            return f"its {field.removesuffix('s')} {changed[0]!r} is {_essence(theirs[changed[0]])}"
    return None


def _essence(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a parameter or metric must be the same; scales may be the service's defaults."""
    essence = {name: value for name, value in spec.items() if name.endswith("ValueSpec")}
    return (
        {**essence, "goal": spec.get("goal", "MAXIMIZE")} if "metricId" in spec else essence
    )  # unspecified is maximize
