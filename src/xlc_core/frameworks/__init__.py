"""What an adapter for a framework may import from the core, besides its public names."""
