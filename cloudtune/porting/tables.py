"""What the config says that a job can be ported by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cloudtune.porting.places import Places

if TYPE_CHECKING:
    from cloudtune.machines.catalogue import Catalogue
    from cloudtune.porting.words import ServiceWords


@dataclass(frozen=True)
class Tables:
    """The tables that a job is ported by.

    Attributes:
        places: where the same data lies on each service.
        profile: the name of the profile that the job is planned for; "" for none.
        profiles: the names of the profiles that config files have.
        settings: of the profile.
        base: the folder that the job's relative paths start from; None for the working folder.
        find_catalogue: returns the machines of a profile's service with the user's prices; None for the listed ones.
        own_prices: whether a config file says prices.
    """

    places: Places = field(default_factory=Places)
    profile: str = ""
    profiles: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    base: Path | None = None
    find_catalogue: "Callable[[str], Catalogue] | None" = None
    own_prices: bool = False

    @property
    def configured(self) -> bool:
        """Whether a config file has the profile."""
        return self.profile in self.profiles

    def catalogue(self, provider: str) -> "Catalogue":
        """Return the machines of a service; read when they are needed, which few jobs do."""
        from cloudtune.machines.catalogue import catalogue  # noqa: PLC0415  # few local jobs need a price

        found = None if self.find_catalogue is None else self.find_catalogue(self.profile)
        return found if found is not None and found.service == provider else catalogue(provider)

    def of_profile(self, profile: str, settings: Mapping[str, Any]) -> Self:
        """Return the same for another profile."""
        return replace(self, profile=profile, settings=settings)

    def default(self, name: str, words: "ServiceWords") -> str | None:
        """Return a setting of the profile by its neutral name (`cloudtune.porting.words.SETTINGS`); None for none."""
        said = self.settings.get(words.settings.get(name, name)) or self.settings.get(name)
        return str(said) if said else None
