"""Stands for the bindings of DRM, which picamera2 imports for a preview on a screen: there is none, and Debian has no such package."""

from unittest.mock import MagicMock

PixelFormat = MagicMock()
