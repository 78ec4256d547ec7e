"""Real processes and a real browser, for tests that look at edgecam from outside."""
