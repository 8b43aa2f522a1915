"""The provider of Kubernetes clusters: a Job for each trial."""
