"""Load on the bundled signaling server, over loopback only: `make load`, and a small version of it in `make test`."""
