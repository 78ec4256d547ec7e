"""`python -m tests.machines`: what takes minutes is unpacked, built and installed before the tests, so that none of them waits for it."""

from __future__ import annotations

from tests.machines import libcamera
from tests.machines.vm_camera import camera_disk

if __name__ == "__main__":
    camera_disk()  # of the kernel, and of the tree with the packages, for which all others are made
    libcamera.tree()
    libcamera.picamera2()
