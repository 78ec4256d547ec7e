"""The media plane without I/O, hardware or aiortc: access units, fan-out, bitrate policy."""
