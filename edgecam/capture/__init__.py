"""All hardware variance. The child process captures and encodes; the daemon sees access units."""
