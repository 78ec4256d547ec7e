"""Whole machines to run edgecam on: Debian 13 trees, the built package, containers, virtual machines. All need root."""
