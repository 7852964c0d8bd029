"""One request of text: its parts, its run, its events."""
