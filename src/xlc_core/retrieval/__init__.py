"""Jobs that compute embeddings and scores."""
