"""Machines in network namespaces of their own: a camera host, a viewer's laptop, and a TURN server in between."""
