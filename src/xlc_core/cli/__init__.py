"""The command ``xllama``."""

from xlc_core.cli.main import app

__all__ = ["app"]
