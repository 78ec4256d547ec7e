"""STUN and TURN servers with credentials that are good now: static, minted with a shared secret, or fetched."""
