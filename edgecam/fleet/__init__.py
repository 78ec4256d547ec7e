"""One camera host among many: its identity, how it announces itself, whom it tells how it is."""
