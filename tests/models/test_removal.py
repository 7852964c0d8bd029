"""Removing fetched models."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.hub_server import HubServer
from helpers.tiny_models import write_byte_llama
from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.models.removal import remove_model
from xlc_core.models.storage import store

REPO = "o/m-GGUF"


def test_only_the_named_file_of_a_repository_goes(hub: HubServer, tmp_path: Path) -> None:
    hub.repos[REPO] = {"m-Q8_0.gguf": b"8" * 1000, "m-Q4_0.gguf": b"4" * 500}
    for quant in ("Q8_0", "Q4_0"):
        catalog.resolve(f"hf:{REPO}:{quant}", progress=False)
    assert remove_model(f"hf:{REPO}:Q8_0") == 1000
    assert catalog.find_local(f"hf:{REPO}:Q8_0") is None
    kept = catalog.find_local(f"hf:{REPO}:Q4_0")
    assert kept is not None
    assert kept.read_bytes() == b"4" * 500
    assert b"8" * 1000 not in [file.read_bytes() for file in (tmp_path / "hf").rglob("*") if file.is_file()]
    with pytest.raises(ModelNotFoundError, match="is not on this disk"):
        remove_model(f"hf:{REPO}:Q8_0")


def test_all_parts_of_a_split_model_go(hub: HubServer) -> None:
    hub.repos[REPO] = {f"m-0000{n}-of-00002.gguf": bytes([n]) * 100 for n in (1, 2)}
    path = catalog.resolve(f"hf:{REPO}", progress=False).path
    assert remove_model(f"hf:{REPO}") == 200
    assert list(path.parent.iterdir()) == []


def test_bytes_that_another_revision_has_stay(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos[REPO] = {"m.gguf": b"same" * 100}
    old = catalog.resolve(f"hf:{REPO}", progress=False).path
    monkeypatch.setattr("helpers.hub_server.COMMIT", "f" * 40)
    new = catalog.resolve(f"hf:{REPO}", progress=False).path
    assert new != old
    assert remove_model(f"hf:{REPO}") == 0
    assert not new.exists()
    assert old.read_bytes() == b"same" * 100


def test_stored_file_goes_with_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.toml").write_text(
        '[tiny]\ndescription = "d"\nlicense = "MIT"\nkind = "chat"\nsource = "pypi:tiny-model==1.0"\nfile = "m.gguf"\n'
    )
    monkeypatch.setenv("XLLAMA_CATALOG", str(tmp_path / "own.toml"))
    target = tmp_path / "cache" / "tiny-model-1.0" / "m.gguf"

    def produce(folder: Path) -> Path:
        (folder / "m.gguf").write_bytes(b"x" * 300)
        return folder / "m.gguf"

    with pytest.raises(ModelNotFoundError, match="'tiny' is not on this disk"):
        remove_model("tiny")
    store(target, {"source": "pypi:tiny-model==1.0", "file": "m.gguf", "sha256": None}, produce)
    assert catalog.is_cached("tiny")
    assert remove_model("tiny") == 300
    assert not catalog.is_cached("tiny")
    assert list(target.parent.iterdir()) == []


def test_other_files_are_not_ours_to_remove(tmp_path: Path) -> None:
    own = write_byte_llama(tmp_path / "own.gguf")
    with pytest.raises(InvalidRequestError, match="was not fetched by xllama"):
        remove_model(str(own))
    assert own.exists()
    with pytest.raises(InvalidRequestError, match="pip uninstall xllama-models"):
        remove_model("all-minilm-l6-v2")
    with pytest.raises(ModelNotFoundError, match="not in the catalog"):
        remove_model("nothing")
