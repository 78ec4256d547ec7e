"""The daemon's HTTP: status page, health, metrics, snapshots, WHEP, viewer page."""
