"""The fan-out fast path: an access unit is packetised once, then copied, encrypted in place and sent for each viewer."""
