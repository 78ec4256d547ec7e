"""Governors: what the device and its link can afford, measured, and kept to; docs/governors.md."""
