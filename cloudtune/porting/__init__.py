"""Port a job to a service: replace what is written in another service's words, before the service's provider plans it.

`cloudtune.porting.adapting.adapt` is pure. It knows places (the inputs' and the output's), container images, identities and machine types; all else of
a job is neutral, or stays under the name of a provider. Each change is a note of the plan; what nothing says is listed
as the lines to add to ``cloudtune.toml``.
"""
