"""What the daemon's and the server's HTTP share: listeners, Host/Origin/token guard, pages."""
