"""edgecam: a headless edge streaming daemon for camera devices."""

__version__ = "0.1.0"
