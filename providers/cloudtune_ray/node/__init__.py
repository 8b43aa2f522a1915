"""What runs on the nodes of the cluster: the standard library, Ray, and no package besides."""
