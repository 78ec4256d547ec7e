"""The daemon's HTTP as scripts, scrapers and strangers meet it: a real process, no browser."""
