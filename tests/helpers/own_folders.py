"""A fixture that keeps tests away from the user's catalog, models and settings, and from the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import huggingface_hub.constants
import platformdirs
import pytest

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's catalog, models, or settings."""
    for variable in ("XLLAMA_MODEL", "XLLAMA_CATALOG", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XLLAMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platformdirs, "user_config_path", lambda _: tmp_path / "config")
    # huggingface_hub read its environment when it was imported. Nobody answers at its own endpoint,
    # so that a test that forgets HF_ENDPOINT does not reach the hub.
    for name, value in {
        "ENDPOINT": NOWHERE,
        "HUGGINGFACE_CO_URL_TEMPLATE": NOWHERE + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_CACHE": str(tmp_path / "hf" / "hub"),
        "HF_TOKEN_PATH": str(tmp_path / "hf" / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_TELEMETRY": True,
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
