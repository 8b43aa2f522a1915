"""A driver that is one small job on a service: the run goes on though this machine is closed, and is followed from here.

`bundle` makes what travels, `program` is what the job runs, `journal` is how the store here learns what is done there,
and `provider` puts it all behind the interface that every run has.
"""
