"""The bundled signaling server. Never touches rtc/ or capture/."""
