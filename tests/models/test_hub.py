"""``hf:`` against a small hub of the tests' own."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest

import xlc_core as xlc
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_core.engine.model_facts import read_facts
from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog, convert
from xlc_core.models.hub import HubModel, pick_files

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.hub_server import HubServer

REPO = "someone/Model-GGUF"
CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(autouse=True)
def one_repository(hub: HubServer) -> None:
    hub.repos[REPO] = {
        "README.md": b"read me",
        "model-Q4_K_M.gguf": CONTENT,
        "model-Q8_0.gguf": CONTENT[::-1],
        "mmproj-model-f16.gguf": b"eyes",
    }


@pytest.fixture
def hub_cache(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub"


def pick(wanted: str | None, *names: str) -> list[str]:
    return pick_files(HubModel("o/r", wanted), list(names))


@pytest.mark.parametrize(
    ("wanted", "names", "chosen"),
    [
        (None, ["m-Q8_0.gguf", "m-Q4_K_M.gguf"], "m-Q4_K_M.gguf"),
        (None, ["m-Q2_K.gguf", "m-Q8_0.gguf"], "m-Q8_0.gguf"),
        (None, ["m-f16.gguf", "mmproj-f16.gguf", "imatrix.gguf", "a.txt"], "m-f16.gguf"),
        ("q8_0", ["m-Q8_0.gguf", "m-Q4_K_M.gguf"], "m-Q8_0.gguf"),
        ("Q4_0", ["m-Q4_0.gguf", "mtp-m-Q4_0.gguf", "MTP/mtp-m-Q4_0.gguf", "eagle3-m-Q4_0.gguf"], "m-Q4_0.gguf"),
        (None, ["m-Q8_0.gguf", "dflash-m-Q4_K_M.gguf"], "m-Q8_0.gguf"),
        ("mtp", ["m-Q4_0.gguf", "mtp-m-Q4_0.gguf"], "mtp-m-Q4_0.gguf"),
        ("mtp-m-Q8_0", ["m-Q8_0.gguf", "mtp-m-Q8_0.gguf", "mtp-m-Q4_0.gguf"], "mtp-m-Q8_0.gguf"),
        ("mtp-m-Q4_0.gguf", ["m-Q4_0.gguf", "mtp-m-Q4_0.gguf"], "mtp-m-Q4_0.gguf"),
        ("Q8_0", ["mtp-m-Q8_0.gguf", "mtp-m-Q4_0.gguf"], "mtp-m-Q8_0.gguf"),
        ("f16", ["m-bf16.gguf", "m-f16.gguf"], "m-f16.gguf"),
        ("Q4_K", ["m-Q4_K.gguf", "m-Q4_K_M.gguf"], "m-Q4_K.gguf"),
        ("Q4_K", ["m-Q8_0.gguf", "m-Q4_K_M.gguf"], "m-Q4_K_M.gguf"),
        ("Q4_XS", ["m-IQ4_XS.gguf", "m-Q8_0.gguf"], "m-IQ4_XS.gguf"),
        ("BF16", ["BF16/m.gguf", "Q8_0/m.gguf"], "BF16/m.gguf"),
        ("m.gguf", ["m.gguf", "m.gguf.gguf"], "m.gguf"),
        ("mmproj-f16.gguf", ["m-f16.gguf", "mmproj-f16.gguf"], "mmproj-f16.gguf"),
        ("mmproj", ["m-f16.gguf", "mmproj-m-bf16.gguf"], "mmproj-m-bf16.gguf"),
        ("mmproj", ["mmproj-m-f16.gguf", "mmproj-m-Q8_0.gguf", "m-Q8_0.gguf"], "mmproj-m-Q8_0.gguf"),
        ("mmproj-f16", ["mmproj-m-f16.gguf", "mmproj-m-Q8_0.gguf"], "mmproj-m-f16.gguf"),
    ],
)
def test_file_is_picked_by_name_quantisation_or_habit(wanted: str | None, names: list[str], chosen: str) -> None:
    assert pick(wanted, *names) == [chosen]


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        ("Q4", ["m-Q4_0.gguf", "m-Q4_1.gguf"], r"2 files that fit Q4;.*\n  m-Q4_0.gguf\n  m-Q4_1"),
        ("Q3_K", ["m-Q4_0.gguf", "m-Q4_1.gguf"], r"no file that fits Q3_K;.*hf:o/r:m-Q4_0.gguf"),
        (None, ["m-Q5_0.gguf", "m-Q5_1.gguf"], r"2 files that fit the default"),
        (None, ["model.safetensors", "mmproj-f16.gguf"], r"no GGUF file; look for .* -GGUF"),
        ("Q8_0", ["m-Q8_0-00001-of-00002.gguf"], r"has 1 of its 2 parts"),
    ],
)
def test_ambiguous_files_are_listed(wanted: str | None, names: list[str], message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        pick(wanted, *names)


@pytest.mark.parametrize("wanted", ["Q8_0", "m-Q8_0-00001-of-00002.gguf"])
def test_all_parts_of_split_model_are_fetched_and_first_returned(hub: HubServer, wanted: str) -> None:
    parts = {f"m-Q8_0-0000{n}-of-00002.gguf": bytes([n]) * 99 for n in (2, 1)}
    hub.repos["o/split"] = {**parts, "m-Q4_0.gguf": b"other"}
    path = catalog.resolve(f"hf:o/split:{wanted}", progress=False).path
    assert path.name == "m-Q8_0-00001-of-00002.gguf"
    assert path.read_bytes() == b"\x01" * 99
    assert path.with_name("m-Q8_0-00002-of-00002.gguf").read_bytes() == b"\x02" * 99


def test_model_is_downloaded_once(hub: HubServer) -> None:
    first = catalog.resolve(f"hf:{REPO}", progress=False)
    assert first.name == f"hf:{REPO}"
    assert first.entry is None
    assert first.path.read_bytes() == CONTENT
    assert len(hub.downloads()) == 1
    assert catalog.resolve(f"hf:{REPO}", progress=False).path == first.path
    assert len(hub.downloads()) == 1


def test_new_revision_is_downloaded(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    old = catalog.resolve(f"hf:{REPO}", progress=False).path
    hub.repos[REPO]["model-Q4_K_M.gguf"] = b"newer"
    monkeypatch.setattr("helpers.hub_server.COMMIT", "f" * 40)
    new = catalog.resolve(f"hf:{REPO}", progress=False).path
    assert new != old
    assert new.read_bytes() == b"newer"


def test_cut_connection_is_resumed_where_it_ended(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.cut_after = 300_000
    with contextlib.suppress(ModelNotFoundError):  # huggingface_hub 1 goes on at the next call
        catalog.resolve(f"hf:{REPO}", progress=False)
    assert catalog.resolve(f"hf:{REPO}", progress=False).path.read_bytes() == CONTENT
    ranges = [request.headers.get("range") for request in hub.downloads()]
    assert ranges == [None, "bytes=300000-"]


def test_interrupted_download_leaves_nothing_half_there(hub: HubServer, hub_cache: Path) -> None:
    hub.cut_after, hub.refuse_after_cut = 300_000, True
    with pytest.raises(ModelNotFoundError, match=r"answered 503; try again|check the network"):
        catalog.resolve(f"hf:{REPO}", progress=False)
    assert not list(hub_cache.rglob("*.gguf"))
    assert not [path for path in hub_cache.rglob("blobs/*") if path.suffix != ".incomplete"]
    hub.refuse_after_cut = False
    assert catalog.resolve(f"hf:{REPO}", progress=False).path.read_bytes() == CONTENT


def test_gated_model_needs_token(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated.add(REPO)
    with pytest.raises(ModelNotFoundError, match=rf"accept its terms at {hub.url}/{REPO}.*HF_TOKEN"):
        catalog.resolve(f"hf:{REPO}", progress=False)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert catalog.resolve(f"hf:{REPO}", progress=False).path.read_bytes() == CONTENT
    assert hub.downloads()[-1].headers["authorization"] == f"Bearer {hub.token}"


def test_unknown_repository(hub: HubServer) -> None:
    with pytest.raises(ModelNotFoundError, match=r"not on the hub .*or is private.*spelling.*HF_TOKEN"):
        catalog.resolve("hf:someone/Modle-GGUF", progress=False)


def test_refusal_is_not_hidden_by_old_copy(hub: HubServer) -> None:
    catalog.resolve(f"hf:{REPO}", progress=False)
    del hub.repos[REPO]
    with pytest.raises(ModelNotFoundError, match="is not on the hub"):
        catalog.resolve(f"hf:{REPO}", progress=False)


@pytest.mark.parametrize("status", [429, 500])
def test_hub_in_trouble(hub: HubServer, status: int) -> None:
    hub.status = status
    with pytest.raises(ModelNotFoundError, match=f"answered {status}; (wait a while|try again)"):
        catalog.resolve(f"hf:{REPO}", progress=False)


def test_hub_errors_do_not_affect_cached_models(hub: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    path = catalog.resolve(f"hf:{REPO}", progress=False).path
    hub.status = 500
    with caplog.at_level(logging.WARNING, "xllama"):
        assert catalog.resolve(f"hf:{REPO}", progress=False).path == path
    assert "using the copy in the cache" in caplog.text


def test_hub_that_does_not_answer(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.delay = 1.0
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    with pytest.raises(ModelNotFoundError, match=r"could not be fetched.*timed out.*check the network"):
        catalog.resolve(f"hf:{REPO}", progress=False)


def test_no_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = catalog.resolve(f"hf:{REPO}:Q8_0", progress=False).path
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", nobody)
    assert catalog.resolve(f"hf:{REPO}:Q8_0", progress=False).path == path
    with pytest.raises(ModelNotFoundError, match=rf"{nobody}.*check the network.*HF_ENDPOINT"):
        catalog.resolve(f"hf:{REPO}:Q4_K_M", progress=False)


def test_offline_mode_uses_cache_alone(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = catalog.resolve(f"hf:{REPO}:Q8_0", progress=False).path
    n_requests = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert catalog.resolve(f"hf:{REPO}:Q8_0", progress=False).path == path
    with pytest.raises(ModelNotFoundError, match=r"HF_HUB_OFFLINE.*models pull hf:.*Q4_K_M"):
        catalog.resolve(f"hf:{REPO}:Q4_K_M", progress=False)
    assert len(hub.requests) == n_requests


@pytest.mark.parametrize("text", ["hf:", "hf:model", "hf:a/b/c", "hf:a/b:", "hf:a b/c"])
def test_malformed_name_shows_form(text: str) -> None:
    with pytest.raises(ModelNotFoundError, match="write hf:owner/repo or hf:owner/repo:quant"):
        catalog.resolve(text)


def test_progress_is_shown_only_when_wanted(hub: HubServer, capfd: pytest.CaptureFixture[str]) -> None:
    catalog.resolve(f"hf:{REPO}:Q8_0", progress=False)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    catalog.resolve(f"hf:{REPO}:Q4_K_M", progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "model-Q4_K_M.gguf" in captured.err


class TestCatalogEntry:
    @pytest.fixture
    def entry(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        file = tmp_path / "own.toml"
        monkeypatch.setenv("XLLAMA_CATALOG", str(file))
        self.write(file, hashlib.sha256(CONTENT).hexdigest())
        return file

    def write(self, file: Path, sha256: str) -> None:
        file.write_text(
            f'[mine]\ndescription = "d"\nlicense = "MIT"\nkind = "chat"\n'
            f'source = "hf:{REPO}:Q4_K_M"\nsha256 = "{sha256}"\n'
        )

    @pytest.mark.usefixtures("entry")
    def test_is_cached_once_it_is_resolved(self) -> None:
        assert not catalog.is_cached("mine")
        assert catalog.resolve("mine", progress=False).path.read_bytes() == CONTENT
        assert catalog.is_cached("mine")

    def test_another_sha256_is_refused(self, entry: Path) -> None:
        self.write(entry, "0" * 64)
        with pytest.raises(ModelNotFoundError, match=r"has sha256 [1-9a-f].* says 0000"):
            catalog.resolve("mine", progress=False)


def test_model_to_convert_is_fetched_without_unused_files(hub: HubServer) -> None:
    weights = {"model.safetensors": b"new", "pytorch_model.bin": b"old", "onnx/model.onnx": b"other"}
    others = {"config.json": b"{}", "1_Pooling/config.json": b"{}", "consolidated.safetensors": b"again"}
    hub.repos["someone/Model"] = {**weights, **others}
    folder = convert._source_folder("hf:someone/Model")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == ["1_Pooling/config.json", "config.json", "model.safetensors"]


def test_model_to_convert_may_have_old_weights_only(hub: HubServer) -> None:
    hub.repos["someone/Model"] = {"config.json": b"{}", "pytorch_model.bin": b"old"}
    folder = convert._source_folder("hf:someone/Model")
    assert (folder / "pytorch_model.bin").read_bytes() == b"old"


def test_model_to_convert_that_is_not_there(hub: HubServer) -> None:
    with pytest.raises(ModelNotFoundError, match="not on the hub"):
        convert._source_folder("hf:someone/Other")


def test_ambiguous_projectors_are_listed() -> None:
    with pytest.raises(ModelNotFoundError, match=r"has 2 projectors that fit 'mmproj'.*\n  mmproj-a-q4\.gguf"):
        pick("mmproj", "mmproj-a-q4.gguf", "mmproj-b-q4.gguf", "m.gguf")
    with pytest.raises(ModelNotFoundError, match="has no projectors that fit 'mmproj'"):
        pick("mmproj", "m.gguf")


def test_model_s_projector_is_found_in_its_repository(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["someone/Eyes-GGUF"] = {
        "eyes-Q8_0.gguf": write_byte_llama(tmp_path / "model.gguf").read_bytes(),
        "mmproj-eyes-Q8_0.gguf": write_mmproj(tmp_path / "mmproj.gguf").read_bytes(),
    }
    options = xlc.EngineOptions(model="hf:someone/Eyes-GGUF", mmproj="auto", n_ctx=256, n_parallel=1, warmup=False)
    assert read_facts(options) is None
    with xlc.Engine(options) as engine:
        assert "image" in engine.info.reads
    facts = read_facts(options)
    assert facts is not None
    assert "image" in facts.reads
