"""The support of those fields of a job that need only a note."""

from collections.abc import Mapping

from cloudtune.planning.plan import Support

SUPPORT: Mapping[str, tuple[Support, str]] = {
    "trial.source": (Support.APPROXIMATE, "does not travel: build these files into the image, and start it in their folder"),
    "trial.ignore": (Support.APPROXIMATE, "no files travel: .dockerignore says what stays out of the image"),
    "trial.function": (Support.UNSUPPORTED, "Katib starts programs: give trial.command, such as one that calls the function and prints metric=number"),
    "trial.image": (Support.UNSUPPORTED, "Katib runs containers: give trial.image, or {katib: IMAGE, …}"),
    "trial.command.native": (Support.APPROXIMATE, "the trial starts what the native template names; the command is for other places"),
    "trial.environment.native": (Support.APPROXIMATE, "the trial has the environment of the native template"),
    "objective.several": (Support.UNSUPPORTED, "Katib optimises one metric: keep one objective and move the others to metrics"),
    "objective.regex": (Support.UNSUPPORTED, "Katib takes a metric's name from the line that it reads: write the regex with the name in it, before the number and without look-around, or print name=number"),
    "objective.source": (Support.UNSUPPORTED, "Katib reads metrics from what trials print, and nothing there hears what they log: print name=number, and take the source away"),
    "constraints": (Support.APPROXIMATE, "Katib knows no constraints: it optimises the objective alone, and its best trial may violate them; their metrics are recorded"),
    "strategy.native": (Support.APPROXIMATE, "the native settings name Katib's algorithm; the strategy is for other places"),
    "limits.time": (Support.APPROXIMATE, "Katib has no limit on the whole: end the experiment yourself"),
    "limits.no_improvement": (Support.APPROXIMATE, "Katib has no such limit"),
    "limits.cost": (Support.APPROXIMATE, "Katib counts no cost"),
    "limits.trial_time": (Support.APPROXIMATE, "the native template has a kind of its own; say it there"),
    "retries": (Support.APPROXIMATE, "the native template has a kind of its own; say it there"),
    "first": (Support.APPROXIMATE, "Katib's algorithms choose every trial: left out"),
    "require": (Support.UNSUPPORTED, "Katib would try combinations that are not allowed; take require away, and have the program end on them without a metric"),
    "warm_start": (Support.UNSUPPORTED, "Katib learns from no earlier trials; take warm_start away"),
    "confirm": (Support.UNSUPPORTED, "Katib runs no trial again with another seed; take confirm away, and run its best trials again yourself"),
    "notify": (Support.APPROXIMATE, "nothing of cloudtune follows an experiment: nobody is told"),
    "mode.driven": (Support.UNSUPPORTED, "Katib's own services choose the trials; take mode: driven away"),
    "compute.instance": (Support.APPROXIMATE, "a cluster has nodes, and no machine types to order: choose them by a nodeSelector in native: {katib: …}"),
    "compute.count": (Support.UNSUPPORTED, "trials of several machines need a template of Kubeflow's training operator, such as a PyTorchJob; give it as trialSpec in native: {katib: {spec: {trialTemplate: …}}}"),
    "compute.count.native": (Support.APPROXIMATE, "the native template says how many"),
    "compute.accelerators": (Support.APPROXIMATE, "as nvidia.com/gpu: which GPU it is the nodes decide; choose them by a nodeSelector in native: {katib: …}"),
    "compute.accelerators.part": (Support.UNSUPPORTED, "Kubernetes gives containers whole GPUs; write count: 1"),
    "compute.spot": (Support.APPROXIMATE, "which nodes are spot the cluster decides; choose them by a nodeSelector in native: {katib: …}"),
    "compute.max_wait": (Support.APPROXIMATE, "pods wait for capacity as long as they must"),
    "compute.keep": (Support.APPROXIMATE, "how long a node stays that no pod needs its cluster's autoscaler decides"),
    "data": (Support.APPROXIMATE, "is not brought to the trial: a variable names the place, for it to read or to mount there"),
    "output": (Support.APPROXIMATE, "what a trial leaves ends with its pod: mount a volume in native: {katib: …}, or write to the place yourself"),
    "network": (Support.APPROXIMATE, "the network is the cluster's"),
    "network.isolated": (Support.UNSUPPORTED, "an experiment cannot cut trials off the network; take isolated away, and give the namespace a NetworkPolicy"),
    "region": (Support.APPROXIMATE, "pods run where the cluster is"),
    "identity": (Support.APPROXIMATE, "pods run as a service account; name it as {katib: ACCOUNT, …}"),
    "encryption": (Support.APPROXIMATE, "keys and traffic are the cluster's"),
    "native": (Support.APPROXIMATE, "settings of another provider: of no effect here"),
}  # fmt: skip
"""Support and message by path, or by path and variant."""
