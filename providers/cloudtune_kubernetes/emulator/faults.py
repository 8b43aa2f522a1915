"""What can go wrong on the way to the API server, and on the nodes."""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cloudtune.emulation import faults


@dataclass(slots=True)
class Faults(faults.Faults):
    """Faults of Kubernetes' emulator. Services are ``api``, and ``pod`` for what running programs ask themselves.

    Operations are called by their verb and kind: ``CreateJob``, ``GetPod``, ``ListPod``, ``WatchPod``, ``PatchJob``,
    ``UpdateConfigMap``, ``DeleteJob``, ``GetPodLog``, ``CreatePodEviction``. A throttled call is answered with 429 and
    Retry-After; of the general faults ``slow``, ``capacity``, ``full``, ``internal`` and ``spot`` have no meaning here.

    Attributes:
        conflicts: probability that an update or a patch finds that the object has changed meanwhile (409).
        watch_cuts: probability that the connection of a watch or of followed logs is cut after an event or line.
        evictions: probability that a pod is evicted, once it runs: condition DisruptionTarget, reason Evicted.
        unpullable: images, or shell patterns of them, that cannot be pulled: ErrImagePull, then ImagePullBackOff.
    """

    services: Collection[str] = ("api",)
    conflicts: float = 0.0
    watch_cuts: float = 0.0
    evictions: float = 0.0
    unpullable: Collection[str] = ()

    def conflicts_with(self, operation: str) -> bool:
        """Return whether an update or patch meets a conflict now."""
        return self._strikes("conflict", operation, self.conflicts)

    def cuts(self, operation: str) -> bool:
        """Return whether a watch is cut now."""
        return self._strikes("cut", operation, self.watch_cuts)

    def evicts(self, pod: str) -> bool:
        """Return whether a pod is evicted."""
        return self._strikes("eviction", pod, self.evictions)

    def cannot_pull(self, image: str) -> bool:
        """Return whether an image cannot be pulled."""
        return any(image == pattern or fnmatchcase(image, pattern) for pattern in self.unpullable)

    def _strikes(self, kind: str, what: str, probability: float) -> bool:
        if probability <= 0 or (kind != "eviction" and self.operations is not None and what not in self.operations):
            return False
        struck = self._draw(f"{kind} {what}") < probability
        if struck:
            self._count(kind)
        return struck
