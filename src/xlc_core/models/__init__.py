"""From a model's name to its file, and making model files."""
