"""Katib as the tuner of a cluster: a managed run is one of its Experiments (https://www.kubeflow.org/docs/components/katib)."""
