"""The cluster for the tests of the cluster."""

from tests.cluster.fixtures import cluster, running_cluster

__all__ = ["cluster", "running_cluster"]
