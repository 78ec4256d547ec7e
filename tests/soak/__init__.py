"""Viewers that come and go for as long as one likes, and what that leaves behind in the daemon."""
