"""The catalog itself, local files, packages, and how a file is stored whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.models.storage import is_stored, store

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[2] / "models"


def write_catalog(file: Path, name: str = "mine", source: str = "file:m.gguf", more: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'["{name}"]\ndescription = "d"\nlicense = "MIT"\nkind = "chat"\nsource = "{source}"\n{more}')


@pytest.fixture
def own_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mine" / "catalog.toml"
    monkeypatch.setenv("XLLAMA_CATALOG", str(file))
    return file


class TestNames:
    def test_path_is_used_unchanged(self, tmp_path: Path) -> None:
        file = tmp_path / "some.model.gguf"
        file.write_bytes(b"GGUF")
        for given in (file, str(file)):
            assert catalog.resolve(given) == catalog.ResolvedModel("some.model", file)

    def test_unknown_name_suggests_nearest(self) -> None:
        with pytest.raises(ModelNotFoundError) as raised:
            catalog.resolve("smollm2-135m-instuct")
        assert str(raised.value) == (
            "model 'smollm2-135m-instuct' is not in the catalog and is not a file; did you mean "
            "'smollm2-135m-instruct'? `xllama models list` shows all"
        )

    @pytest.mark.parametrize("name", ["@", "x" * 5000, "no\0file"])
    def test_name_like_no_other(self, name: str) -> None:
        with pytest.raises(ModelNotFoundError, match=r"is not a file\. `xllama models list` shows all"):
            catalog.resolve(name)

    def test_both_separators_of_windows_make_a_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "altsep", "\\")
        for name in ("models\\m.gguf", "models/m.gguf"):
            self.test_path_to_nothing_is_named(name)

    @pytest.mark.parametrize("name", ["~nobody/m.gguf", "owner/repo", "./none.gguf"])
    def test_path_to_nothing_is_named(self, name: str) -> None:
        with pytest.raises(ModelNotFoundError, match=r"there is no file at '.*'; .* or hf:owner/repo"):
            catalog.resolve(name)

    def test_folder_lists_its_models(self, tmp_path: Path) -> None:
        (tmp_path / "in-it.gguf").touch()
        with pytest.raises(ModelNotFoundError, match=r"is a folder; .*\(it has: in-it.gguf\)"):
            catalog.resolve(tmp_path)

    def test_missing_path(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match=r"there is no file .*none.gguf"):
            catalog.resolve(tmp_path / "none.gguf")

    def test_none_reads_environment_variable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ModelNotFoundError, match=r"no model was named; .*set XLLAMA_MODEL"):
            catalog.resolve(None)
        file = tmp_path / "m.gguf"
        file.touch()
        monkeypatch.setenv("XLLAMA_MODEL", str(file))
        assert catalog.resolve(None).path == file

    def test_is_cached_knows_only_catalog(self) -> None:
        with pytest.raises(ModelNotFoundError, match="'nothing-like-it' is not in the catalog"):
            catalog.is_cached("nothing-like-it")


class TestEntries:
    def test_shipped_entries_are_described(self) -> None:
        shipped = catalog.entries()
        assert {"smollm2-135m-instruct", "all-minilm-l6-v2", "xllama-rerank-mini"} <= set(shipped)
        for name, entry in shipped.items():
            assert entry.name == name
            assert entry.description
            assert entry.license
            # The catalog must check all sources that huggingface_hub does not check.
            assert entry.source.startswith("hf:") or (entry.sha256 and entry.size_bytes)

    def test_each_caller_gets_its_own_dictionary(self) -> None:
        catalog.entries().clear()
        assert "qwen3-4b" in catalog.entries()

    def test_entry_is_frozen(self) -> None:
        entry = catalog.entries()["xllama-rerank-mini"]
        assert entry.sentence_types is False
        with pytest.raises(ValueError, match="frozen"):
            entry.license = "MIT"

    def test_user_entries_override_shipped_ones(self, tmp_path: Path, own_catalog: Path) -> None:
        write_catalog(tmp_path / "config" / "catalog.toml", "all-minilm-l6-v2", "file:/there/a.gguf")
        write_catalog(own_catalog, "qwen3-4b", "file:~/b.gguf")
        merged = catalog.entries()
        assert merged["all-minilm-l6-v2"].source == f"file:{Path('/there/a.gguf')}"
        assert merged["qwen3-4b"].source == f"file:{Path('~/b.gguf').expanduser()}"
        assert merged["smollm2-135m-instruct"].source.startswith("pypi:")
        write_catalog(own_catalog, "all-minilm-l6-v2", "file:/elsewhere/c.gguf")
        assert "elsewhere" in catalog.entries()["all-minilm-l6-v2"].source

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[x", "cannot be read"),
            ("x = 1", r"'x' is not a table; write \[x\]"),
            ("[x]\nkind = 'chat'", r"entry \[x\]: description: Field required"),
            ("[x]\nlicence = 'MIT'", r"unknown option 'licence'; did you mean 'license'"),
        ],
    )
    def test_faulty_catalog_is_named(self, own_catalog: Path, text: str, message: str) -> None:
        own_catalog.parent.mkdir()
        own_catalog.write_text(text)
        with pytest.raises(InvalidRequestError, match=message) as raised:
            catalog.entries()
        assert str(own_catalog) in str(raised.value)

    @pytest.mark.parametrize(
        ("source", "more", "message"),
        [
            ("ftp:x", "", "source: String should match"),
            ("pypi:unpinned", "file = 'm.gguf'", "source: String should match"),
            ("pypi:a==1", "", "`file` names the member of a wheel"),
            ("hf:a/b", "file = 'm.gguf'", "`file` names the member of a wheel"),
            ("hf:a/b", "derive = { quantize = 'Q8_0' }", "`derive` needs `sha256`"),
            ("hf:a/b", "sha256 = 'abc'", "sha256: String should match"),
        ],
    )
    def test_faulty_entry_is_named(self, own_catalog: Path, source: str, more: str, message: str) -> None:
        write_catalog(own_catalog, source=source, more=more)
        with pytest.raises(InvalidRequestError, match=rf"entry \[mine\]: .*{message}"):
            catalog.entries()

    def test_missing_catalog_file_is_named(self, own_catalog: Path) -> None:
        with pytest.raises(InvalidRequestError, match="XLLAMA_CATALOG"):
            catalog.entries()


class TestFiles:
    def test_file_entry_is_relative_to_its_catalog(self, own_catalog: Path) -> None:
        write_catalog(own_catalog)
        with pytest.raises(ModelNotFoundError, match=r"'mine' is missing at .*m.gguf"):
            catalog.resolve("mine")
        assert not catalog.is_cached("mine")
        (own_catalog.parent / "m.gguf").write_bytes(b"GGUF")
        assert catalog.resolve("mine").path == own_catalog.parent / "m.gguf"
        assert catalog.is_cached("mine")

    def test_wrong_size_is_noticed_at_once(self, own_catalog: Path) -> None:
        write_catalog(own_catalog, more="size_bytes = 5")
        (own_catalog.parent / "m.gguf").write_bytes(b"GGUF")
        with pytest.raises(ModelNotFoundError, match="has 4 bytes but the catalog says 5"):
            catalog.resolve("mine")

    def test_pull_checks_sum(self, own_catalog: Path) -> None:
        write_catalog(own_catalog, more=f"sha256 = '{hashlib.sha256(b'GGUF').hexdigest()}'")
        (own_catalog.parent / "m.gguf").write_bytes(b"GGUF")
        catalog.pull("mine")
        (own_catalog.parent / "m.gguf").write_bytes(b"FUGG")
        with pytest.raises(ModelNotFoundError, match=r"has sha256 .* but the catalog says"):
            catalog.pull("mine")


class TestPackages:
    def test_package_is_found_without_being_imported(
        self, tmp_path: Path, own_catalog: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_catalog(own_catalog, source="package:pack_of_models/m.gguf")
        with pytest.raises(ModelNotFoundError, match="not installed; run `pip install pack-of-mod"):
            catalog.resolve("mine")
        package = tmp_path / "site" / "pack_of_models"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit")
        (package / "m.gguf").write_bytes(b"GGUF")
        monkeypatch.syspath_prepend(package.parent)
        assert catalog.resolve("mine").path == package / "m.gguf"

    def test_missing_models_package_suggests_extra(self, own_catalog: Path) -> None:
        write_catalog(own_catalog, source="package:xllama_models/no-such-file.gguf")
        with pytest.raises(ModelNotFoundError, match=r"`pip install 'xllama\[models\]'`"):
            catalog.resolve("mine")

    @pytest.mark.parametrize("name", ["all-minilm-l6-v2", "xllama-rerank-mini"])
    def test_models_of_repository_match_catalog(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(MODELS)
        resolved = catalog.pull(name)
        assert resolved.path.read_bytes()[:4] == b"GGUF"
        assert resolved.entry is not None
        assert str(resolved.entry.sha256) in (MODELS / "README.md").read_text("utf-8")

    def test_package_itself_finds_its_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(MODELS)
        import xllama_models

        assert xllama_models.path("xllama-rerank-mini-reference.json").is_file()
        with pytest.raises(FileNotFoundError, match=r"it has all-minilm-l6-v2-f16.gguf, "):
            xllama_models.path("../README.md")


class TestStore:
    RECORD: ClassVar = {"source": "test"}

    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        return tmp_path / "deep" / "down" / "m.gguf"

    @staticmethod
    def write(content: bytes) -> Callable[[Path], Path]:
        def produce(folder: Path) -> Path:
            made = folder / "made"
            made.write_bytes(content)
            return made

        return produce

    def left_over(self, target: Path) -> list[str]:
        return [file.name for file in target.parent.iterdir() if file.suffix != ".lock"]

    def test_it_is_made_once(self, target: Path) -> None:
        store(target, self.RECORD, self.write(b"first"))
        store(target, self.RECORD, self.write(b"second"))
        assert target.read_bytes() == b"first"
        assert is_stored(target, self.RECORD)

    def test_changed_record_rebuilds_file(self, target: Path) -> None:
        store(target, self.RECORD, self.write(b"first"))
        store(target, {"source": "other"}, self.write(b"second"))
        assert target.read_bytes() == b"second"
        assert not is_stored(target, self.RECORD)

    def test_file_without_record_is_not_trusted(self, target: Path) -> None:
        target.parent.mkdir(parents=True)
        target.write_bytes(b"whence?")
        store(target, self.RECORD, self.write(b"known"))
        assert target.read_bytes() == b"known"

    def test_wrong_sum_leaves_nothing(self, target: Path) -> None:
        wanted, got = (hashlib.sha256(text).hexdigest() for text in (b"good", b"bad"))
        with pytest.raises(ModelNotFoundError, match=f"{got} but the catalog says {wanted}"):
            store(target, self.RECORD, self.write(b"bad"), sha256=wanted)
        assert self.left_over(target) == []

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, ModelNotFoundError])
    def test_interruption_leaves_nothing_new(self, target: Path, interruption: type[BaseException]) -> None:
        def produce(folder: Path) -> Path:
            (folder / "made").write_bytes(b"hal")
            raise interruption

        with pytest.raises(interruption):
            store(target, self.RECORD, produce)
        assert self.left_over(target) == []

    def test_leftovers_of_killed_process_are_removed(self, target: Path) -> None:
        remains = target.parent / ".m.gguf.part"
        remains.mkdir(parents=True)
        (remains / "made").write_bytes(b"half")
        store(target, self.RECORD, self.write(b"whole"))
        assert sorted(self.left_over(target)) == ["m.gguf", "m.gguf.json"]
        assert target.read_bytes() == b"whole"

    def test_cache_that_cannot_be_written_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ModelNotFoundError, match=r"could not be written .* set XLLAMA_CACHE"):
            store(tmp_path / "file" / "m.gguf", self.RECORD, self.write(b""))

    def test_two_processes_make_it_once(self, target: Path, tmp_path: Path) -> None:
        script = (
            "import pathlib, sys, time\n"
            "from xlc_core.models.storage import store\n"
            "target, log = map(pathlib.Path, sys.argv[1:])\n"
            "def produce(folder):\n"
            "    with log.open('a') as file: file.write('made\\n')\n"
            "    time.sleep(0.3)\n"
            "    (folder / 'made').write_bytes(b'GGUF')\n"
            "    return folder / 'made'\n"
            "store(target, {'source': 'test'}, produce)\n"
        )
        log = tmp_path / "log"
        command = [sys.executable, "-c", script, str(target), str(log)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        running = [subprocess.Popen(command, env=environment) for _ in range(2)]
        assert [process.wait(60) for process in running] == [0, 0]
        assert log.read_text() == "made\n"


def test_importing_catalog_is_light() -> None:
    script = "import sys, xlc_core.models.catalog; sys.exit('huggingface_hub' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
