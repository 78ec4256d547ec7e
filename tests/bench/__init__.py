"""How fast and how cheap edgecam is, in real Chromium on this machine. A benchmark: it measures and judges nothing."""
