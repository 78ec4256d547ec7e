"""Stands for PiDNG, which picamera2 imports to save raw photographs: none are saved, and it comes as C source only."""
