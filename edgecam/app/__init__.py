"""The daemon: what it is made of, who owns what, and how a new configuration is applied while it runs."""
