"""Finding a model's file by its name, and making model files."""
