"""What is known of the service's machines: ``machines.csv`` and ``prices.csv``, written by `cloudtune_azureml.machine_update`."""

from pathlib import Path

from cloudtune.machines.data import MachineData

DATA = MachineData(Path(__file__).parent, region="eastus")
