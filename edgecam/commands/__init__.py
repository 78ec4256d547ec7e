"""What the subcommands do; `cli.py` only parses."""
