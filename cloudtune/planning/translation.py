"""The frame of a translation for a service with a tuner of its own: from the spec to the request and the account of it.

Pure: no network, no credentials, no files. A provider's subclass writes the two kinds of request and says what the service
would refuse; the frame chooses the mode, merges native settings, judges the whole and closes the account::

    class MyTranslation(Translation):
        provider, service, support, merging = "mycloud", "My Cloud", SUPPORT, Merging(("name",))

        def reasons(self): ...  # what the service's tuner cannot do
        def tuning_job(self): ...  # the request to the tuner
        def plain_job(self): ...  # the request of one driven trial
        def native_of_trial(self, own): ...  # the native settings that hold for a plain job
        def findings(self, request): ...  # values that are unknown, or of no effect
        def violations(self, request): ...  # what the service would refuse

    def translate(job):
        return MyTranslation(job).plan()
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from cloudtune.planning.account import Account
from cloudtune.planning.known_values import Finding
from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.mode import Mode, Reason
from cloudtune.planning.plan import Beside, Ledger, Machines, Plan, Support
from cloudtune.planning.replaced import note_replaced
from cloudtune.planning.violations import Violation
from cloudtune.spec.choice import for_tuner
from cloudtune.spec.job import TuningJob, regex_paths
from cloudtune.spec.native import native_path
from cloudtune.spec.strategies import Bayesian
from cloudtune.store.secrets import MASK

Request = dict[str, Any]

_OF_THE_DRIVER = (
    "name", "objective", "constraints", "metrics", "space", "require", "strategy", "first", "stopping", "limits", "retries", "warm_start", "confirm", "mode",
)  # fmt: skip


class Translation(Account):
    """One translation of one job.

    Args:
        job: the spec. A strategy that the job leaves open is chosen before (`cloudtune.provider.choosing`); where nobody
            has, it is the tuner's Bayesian search.
    """

    provider: ClassVar[str]
    """The provider's name."""

    service: ClassVar[str]
    """The service's name in messages."""

    merging: ClassVar[Merging]
    """How native settings are merged into a request."""

    reads: ClassVar[tuple[str, ...]] = ()
    """Keys of `native` beside the provider's own that this translation reads and accounts for."""

    from_profile: ClassVar[Mapping[str, str]] = {}
    """Fields of the spec by the last name of fields of the request that a profile gives where the spec says nothing."""

    def __init__(self, job: TuningJob) -> None:
        super().__init__(for_tuner(job), Ledger(self.provider))
        self._mode = Mode(self._job, self.support, self.reasons)
        self._native_at = native_path(TuningJob, self.provider)

    # What each service does in its own way

    @abstractmethod
    def reasons(self) -> Iterable[Reason]:
        """Yield what in the job the service's tuner cannot do."""

    @abstractmethod
    def tuning_job(self) -> Request:
        """Return the request to the service's tuner without native settings; account for each field but those of `Plan` itself."""

    @abstractmethod
    def plain_job(self) -> Request:
        """Return the request of the job that runs one driven trial, without native settings.

        What the search is about is accounted for already: the driver does it.
        """

    @abstractmethod
    def native_of_trial(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of the native settings that holds for a plain job, and account for each setting.

        Args:
            own: native settings of the service's tuning job.
        """

    @abstractmethod
    def findings(self, request: Request) -> Iterable[Finding]:
        """Yield values of a request that are unknown or wrong, and settings that have no effect there."""

    @abstractmethod
    def violations(self, request: Request) -> Iterable[Violation]:
        """Yield what the service would refuse of a request, and note what is missing in the job and in the profile."""

    def machines(self, request: Request) -> Machines | None:  # noqa: ARG002  # most services need the request
        """Return what one trial runs on; None where that is not known."""
        return None

    def merged(self, request: Request, patch: Mapping[str, Any]) -> Request:
        """Return a request with native settings."""
        merged: Request = self.merging.merge(request, patch)
        return merged

    # The frame

    def plan(self) -> Plan:
        """Return the plan: the whole request, and where each field of the spec went."""
        self._ledger.carry("strict", Beside.PLAN)
        self._ledger.note_other_natives(self._job, *self.support["native"], read=self.reads)
        request = self._driven() if self._mode.driven else self.bare()
        own = self._job.native_settings(self.provider)
        if own:
            before, patch = request, self.native_of_trial(own) if self._mode.driven else self._all_native(own)
            request = self.merged(before, patch)
            note_replaced(self._ledger, self._job, self._native_at, before, request)
        self._check(request)
        return self._ledger.close(self._job, self._mode.name, request, self.machines(request))

    def bare(self) -> Request:
        """Return the request to the service's tuner as the neutral fields alone say it."""
        self._mode.note_unsupported(self._ledger)
        self._ledger.carry("mode", Beside.PLAN)
        if isinstance(self._job.strategy, Bayesian):
            for name in ("prior", "cost_aware"):
                if getattr(self._job.strategy, name):
                    self.note(f"strategy.{name}")
        if not self._job.retries:
            self._ledger.carry("retries", Beside.DEFAULT)
        return self.tuning_job()

    def _driven(self) -> Request:
        self._mode.note_why_driven(self._ledger)
        for path in _OF_THE_DRIVER:
            self._ledger.carry(path, Beside.DRIVER)
        return self.plain_job()

    def _all_native(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in own:
            self.carry_native(name, name)
        return own

    def _check(self, request: Request) -> None:
        for target, verdict in self.findings(request):
            self._ledger.judge(self._path_of(target), verdict, target)
        for violation in self.violations(request):
            message = f"{self.service} refuses {violation.path}: {violation.words}"
            self._ledger.note(self._path_of(violation.path), Support.UNSUPPORTED, message)

    def _path_of(self, target: str) -> str:
        """Return the field of the spec that a field of the request came from."""
        other = self.from_profile.get(target.rpartition(".")[2], f"{self._native_at}.{target}")
        return self._ledger.field_at(self._job, target) or other

    # For the hooks

    def carry_native(self, name: str, target: str) -> None:
        """Carry a native setting."""
        self._ledger.carry(f"{self._native_at}.{name}", target)

    def note_native(
        self, name: str, message: str = "is a setting of tuning jobs: of no effect in a driven run"
    ) -> None:
        """Note a native setting that has no effect."""
        self._ledger.note(f"{self._native_at}.{name}", Support.APPROXIMATE, message)

    def note_missing(self, path: str, message: str) -> None:
        """Note that neither the job nor the profile gives something that the service needs, unless the field is noted."""
        if path not in {known for known, _ in self._ledger.targets()}:
            self._ledger.note(path, Support.UNSUPPORTED, message)

    def parallel(self, trials: int, target: str) -> int:
        """Return the number of trials at once, which is no greater than that of all trials, and account for it."""
        limit = self._job.limits.parallel
        few = f"there are {trials} trials in all"
        self._ledger.carry_if(limit <= trials, "limits.parallel", target, Support.ENCODED, few)
        return min(limit, trials)

    def note_regexes(self, row: str, target: str) -> None:
        """Note the regexes of objectives and constraints, by a row of the table."""
        for path in regex_paths(self._job):
            self.note(path, row, target)


def with_environment(part: Any, values: Mapping[str, str], member: str) -> Any:
    """Return a request with the values of environment variables where a plan has masks.

    Args:
        part: the request, or a part of it, as plain data.
        values: by the names of the variables.
        member: name of the fields that hold variables: a mapping, or a list of mappings with ``name`` and ``value``.
    """
    if isinstance(part, list):
        return [with_environment(each, values, member) for each in part]
    if not isinstance(part, Mapping):
        return part
    return {
        name: _unmasked(value, values) if name == member else with_environment(value, values, member)
        for name, value in part.items()
    }


def _unmasked(variables: Any, values: Mapping[str, str]) -> Any:
    if isinstance(variables, Mapping):
        return {name: values.get(name, text) if text == MASK else text for name, text in variables.items()}
    if not isinstance(variables, list):
        return variables
    return [_filled(each, values) for each in variables]


def _filled(variable: Any, values: Mapping[str, str]) -> Any:
    masked = isinstance(variable, Mapping) and variable.get("value") == MASK
    return {**variable, "value": values.get(variable["name"], MASK)} if masked else variable
