"""Katib in the emulated cluster: Experiments, Suggestions and Trials (kubeflow.org/v1beta1), and what their controllers do."""
