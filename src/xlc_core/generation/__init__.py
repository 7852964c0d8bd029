"""One request for text: its parts, its run, its events."""
