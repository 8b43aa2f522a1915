"""What a provider says of its service's own words, so that a job in another service's words can be ported to it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from cloudtune.errors import PluginError
from cloudtune.plugins.entry_points import PROVIDERS, providers
from cloudtune.plugins.loading import load
from cloudtune.porting.frameworks import FrameworkImages
from cloudtune.spec.places import is_local

SETTINGS = ("output", "image", "identity", "instance", "region")
"""The settings of a profile that mean the same on every service."""

Kind = Literal["place", "identity", "machine", "image", "accelerator"]
"""What a text of a job may be in one service's words."""


class ServiceWords:
    """How one service writes places, identities and machine types.

    A provider sets `cloudtune.provider.Provider.words` to an object of a subclass.
    """

    provider: ClassVar[str]
    """The provider's name."""

    service: ClassVar[str]
    """What messages call the service."""

    schemes: ClassVar[tuple[str, ...]] = ()
    """How places in the service's own storage begin, e.g. ``gs://``."""

    readable: ClassVar[tuple[str, ...]] = ()
    """How places elsewhere begin that trials can read nevertheless, e.g. ``https://``."""

    forms: ClassVar[Mapping[Kind, re.Pattern[str]]] = {}
    """What a whole text of each kind looks like, as far as it tells the service's own from another's."""

    examples: ClassVar[Mapping[str, str]] = {}
    """A place (whose last part is ``NAME``), an image and, where trials need one, an identity, with ``…`` for what only the user knows."""

    with_gpu: ClassVar[re.Pattern[str]] = re.compile(r"(?!)")
    """What a whole machine type looks like that comes with GPUs."""

    images: ClassVar[FrameworkImages | None] = None
    """The service's images of frameworks; None where it has none."""

    settings: ClassVar[Mapping[str, str]] = {}
    """The service's own names of `SETTINGS` in a profile, where they differ."""

    fixed_region: ClassVar[str] = ""
    """Why a job cannot choose the region, in words; "" where it can."""

    has_regions: ClassVar[bool] = True
    """Whether there are regions at all; without, a job that names one runs as it would without."""

    def reads(self, place: str) -> bool:
        """Return whether trials can read a place as it stands: one of the service's, or of this machine to be uploaded."""
        return is_local(place) or place.startswith((*self.schemes, *self.readable))

    def writes(self, place: str) -> bool:
        """Return whether outputs can go to a place as it stands."""
        return place.startswith(self.schemes)

    def machine_types(self) -> tuple[Sequence[str], str]:
        """Return all machine types by the service's SDK, and what of it to renew for newer ones; none where it has no list."""
        return (), ""

    def kept_machines(self, settings: Mapping[str, Any]) -> str | None:  # noqa: ARG002  # most services keep none
        """Return the name of the machines that a profile keeps ready, so that no type is to be chosen; None for none."""
        return None

    def knows(self, kind: Kind, text: str) -> bool:
        """Return whether a text has the form that the service's own have."""
        form = self.forms.get(kind)
        return form is not None and form.fullmatch(text) is not None


def is_foreign(kind: Kind, text: str, words: ServiceWords) -> bool:
    """Return whether a text has the form of another installed service, and not of this one."""
    return not words.knows(kind, text) and owner(kind, text, words.provider) is not None


def owner(kind: Kind, text: str, provider: str) -> ServiceWords | None:
    """Return the words of the service, other than a provider's own, whose form a text has; None for none."""
    others = (words_of(name) for name in providers() if name != provider)
    return next((words for words in others if words is not None and words.knows(kind, text)), None)


def words_of(provider: str) -> ServiceWords | None:
    """Return the words of an installed provider; None for one that has none, is not installed, or cannot be loaded."""
    if provider not in providers():
        return None
    try:
        found = getattr(load(PROVIDERS, provider, object), "words", None)
    except PluginError:  # another provider is broken: that is not the matter of this one's jobs
        return None
    return found if isinstance(found, ServiceWords) else None
