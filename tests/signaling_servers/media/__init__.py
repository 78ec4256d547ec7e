"""Media servers for tests, in Node: a WHIP server and a mediasoup-like SFU, with real ICE, DTLS and SRTP underneath (werift)."""
