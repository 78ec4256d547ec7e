"""One file a dialect, pure encode and decode, driven by one shared exchange loop."""
