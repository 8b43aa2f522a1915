"""What an attempt waits for before it begins, in the words that were told first, and for how long it may."""

import math
import time
from dataclasses import dataclass

from cloudtune_kubernetes.advice import lasts, with_advice
from cloudtune_kubernetes.client import Cluster
from cloudtune_kubernetes.events import hindrances
from cloudtune_kubernetes.parse import Standing, kind_of
from cloudtune_kubernetes.settings import KubernetesSettings

_WAITS = {
    "placing": "a node",
    "starting": "its container",
    "creating": "its container",
    "queued": "its queue",
    "podless": "its pod",
}
"""What an attempt waits for, by `cloudtune_kubernetes.parse.Wait`."""

_ASKED = {"podless": 0.0, "creating": 10.0}
"""Seconds after which the cluster's events are asked why an attempt waits."""


@dataclass(slots=True)
class Waiting:
    """What one attempt waits for.

    Attributes:
        told: what it waits for, after ``waits for``: details that change are not told again; "" for nothing.
    """

    told: str = ""
    _since: float | None = None  # in seconds of `time.monotonic`
    _kind: str = ""
    _wait: str = ""
    _reason: str = ""

    def see(self, cluster: Cluster, place: str, stands: Standing) -> str:
        """Take what an attempt waits for now; return what is told of it.

        Args:
            cluster: where it is; asked for its events where neither Job nor pod says why.
            place: the name of the Job.
            stands: how the attempt stands.

        Raises:
            ProviderError: the cluster cannot be reached, or refuses.
        """
        if not stands.wait:
            self.end()
            return ""
        now = time.monotonic()
        waited, self._wait, self._reason = 0.0 if self._since is None else now - self._since, stands.wait, stands.reason
        if waited > _ASKED.get(stands.wait, math.inf):
            self._reason = hindrances(cluster, stands.wait, place if stands.wait == "podless" else stands.pod)
        kind = f"{stands.wait} {kind_of(self._reason)} {lasts(self._reason)}"
        if self._since is None or self._kind != kind:
            self._since, self._kind = now, kind
            self.told = f"{_WAITS[stands.wait]} ({with_advice(self._reason)})" if self._reason else ""
        return self.told

    def end(self) -> None:
        """Take that it waits no more."""
        self.told, self._since, self._kind, self._wait, self._reason = "", None, "", "", ""

    def too_long(self, settings: KubernetesSettings) -> str:
        """Return why an attempt is to fail that has waited for as long as the profile lets it; "" for one that has not."""
        most = self._longest(settings)
        if self._since is None or most is None or time.monotonic() - self._since <= most:
            return ""
        return f"it could not start within {most:g} s: {with_advice(self._reason)}"

    def _longest(self, settings: KubernetesSettings) -> float | None:
        """Return the seconds for which it may wait; None for what passes by itself."""
        if self._wait == "starting" or lasts(self._reason):
            return settings.unstartable
        return settings.unscheduled if self._wait == "placing" else None
