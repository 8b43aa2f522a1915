"""The modules that run on the nodes of the cluster; they need only the standard library and Ray."""
