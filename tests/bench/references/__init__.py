"""What edgecam is measured against, each a process of its own that prints where it listens."""
