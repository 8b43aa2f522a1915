"""A requirement of a space: its text, and whether a trial meets it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cloudtune.space.parameters import Parameter, Scalar
from cloudtune.space.requirements.checking import checked
from cloudtune.space.requirements.exact import Exact
from cloudtune.space.requirements.nodes import Name, Node
from cloudtune.space.requirements.reading import read


@dataclass(frozen=True, slots=True)
class Requirement:
    """A condition that every trial of a space meets, such as ``batch * width <= 4096``.

    Numbers are compared and computed as decimals, so that 0.1 + 0.2 is 0.3. A trial in which the evaluation, from the
    left, comes to a parameter that does not exist there meets the requirement; one in which it comes to a part without
    a value, such as a division by zero, does not.

    Attributes:
        text: as the job says it.
        node: its tree.
        names: the parameters that it names.
    """

    text: str
    node: Node = field(compare=False, repr=False)
    names: frozenset[str] = field(compare=False, repr=False)

    @classmethod
    def of(cls, text: str, variants: Mapping[str, Sequence[Parameter]]) -> "Requirement":
        """Return the requirement of a text.

        Args:
            text: what it says.
            variants: the parameters of each name in the space.

        Raises:
            RequirementError: it cannot be read, or does not suit the space.
        """
        node = checked(text, read(text), variants)
        return cls(text, node, frozenset(part.name for part in node.all() if isinstance(part, Name)))

    def holds(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether a trial meets the requirement."""
        return Exact(values).holds(self.node)
