"""One job of vectors."""
