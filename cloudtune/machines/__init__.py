"""The machines of services, and what they cost an hour.

Each provider's package ships a catalogue: two plain tables, found through an entry point of the group
``cloudtune.machines`` (`cloudtune.machines.data.MachineData`). `catalogue` reads them; `Prices` looks a price up.
"""

from cloudtune.machines.catalogue import Catalogue, Needs, Offer, catalogue, find_catalogues
from cloudtune.machines.machine import Accelerator, Machine, Price
from cloudtune.machines.prices import Prices

__all__ = ["Accelerator", "Catalogue", "Machine", "Needs", "Offer", "Price", "Prices", "catalogue", "find_catalogues"]
