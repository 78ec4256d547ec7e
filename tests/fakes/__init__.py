"""Stand-ins for hardware that no test machine has; everything else in the tests is real."""
