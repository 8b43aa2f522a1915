"""A driver that runs as a job on a service: the run continues while this machine is off, and is followed from here.

`bundle` makes the folder that is sent, `program` is what the job runs, `journal` brings what the job writes into the
local store, and `provider` implements the interface of a provider.
"""
