"""ICE (RFC 8445, trickled as in RFC 8838), STUN (RFC 8489) and TURN (RFC 8656), in the place of aiortc's own, which
waits for every server before it answers and uses one STUN and one TURN server. Knows no aiortc, and of aioice mDNS only."""
