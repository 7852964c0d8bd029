"""Engine: its methods, and how it is opened."""
