"""Whether what the cluster says passes by itself, and what to do about it."""

import re

_STAYS = re.compile(r'is forbidden: |is invalid: |denied the request|" not found|references non-existent')
"""Words of the API server, the scheduler and the kubelet about what lasts until somebody changes the job or the cluster."""

_PASSES = re.compile(r"exceeded quota: ")
"""Words about what passes when others end, though the API server calls it forbidden."""

_ADVICE = (
    ("violates PodSecurity", "say a securityContext under kubernetes: {spec: …}, or in the profile's template"),
    ("service account", "make it (kubectl create serviceaccount), or name another: identity of the job, service_account of the profile"),
    ("PriorityClass", "kubectl get priorityclasses lists them; name one as priority_class of the profile"),
    ("usage per (Container|Pod)", "ask for what the LimitRange of the namespace allows (kubectl describe limitrange) by compute.cpus and memory"),
    ("exceeded quota: .*count/jobs", "Jobs that have ended count until their ttl is over: say a short one in the profile"),
    ("failed quota: .*must specify", "say compute.cpus and memory, which a quota of the namespace counts"),
    ('persistentvolumeclaim "', "make the claim, or name another in output or data"),
    ('(secret|configmap) "|references non-existent', "make it, or name another in what kubernetes: or the profile's template mounts"),
    ("^(ErrImage|Image|InvalidImage)", "look at the image's name, and whether the nodes may pull it (pull_secret of the profile)"),
)  # fmt: skip


def lasts(reason: str) -> bool:
    """Return whether the reason why an attempt waits does not pass by itself."""
    return bool(_STAYS.search(reason)) and not _PASSES.search(reason)


def with_advice(reason: str) -> str:
    """Return a reason of the cluster's with what to do about it, where that is known."""
    todo = next((todo for words, todo in _ADVICE if re.search(words, reason)), "")
    return f"{reason}; {todo}" if todo else reason
