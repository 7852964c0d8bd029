"""Surroundings that programs have and developers' machines do not: no stderr, no home, other locales, odd paths.

Each is tried in a child process, which prints to stdout only what the test expects.
"""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from helpers.children import run_child
from helpers.hub_server import HubServer
from helpers.tiny_models import write_byte_llama

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its surroundings are those of Linux")

USE = """
import os

def use(chat=MODELS / "llama.gguf", embedder=MODELS / "bert-embedder.gguf", **options):
    with xlc.Engine(chat, n_ctx=256, n_parallel=1, n_threads=1, **options) as engine:
        assert engine.complete("\\u00e4 \\u2603", max_tokens=2, ignore_eos=True).usage.completion_tokens == 2
        assert engine.chat("Yes?", constraint=["yes"]).text == "yes"
    with xlc.Engine(embedder, n_threads=1) as engine:
        assert len(engine.embed(["a", "b"], progress=True)) == 2
"""


def run(code: str, **surroundings: Any) -> str:
    """Run a program in a child; return what it printed.

    Args:
        code: it knows ``use``, which opens two models and asks them.
        **surroundings: variables to set or, if None, to remove; ``cwd`` and ``flags`` of the interpreter.
    """
    cwd, flags = surroundings.pop("cwd", None), surroundings.pop("flags", ())
    environment = {**os.environ, **surroundings}
    environment = {name: str(value) for name, value in environment.items() if value is not None}
    return run_child(USE + textwrap.dedent(code), flags=flags, env=environment, cwd=cwd)


@pytest.mark.parametrize(
    "stream",
    [
        "None",
        "open(os.devnull)",  # not open for writing
        "Closed()",
        "Refuses()",
        "object()",
        "io.StringIO()",
        "open(2, 'w', closefd=False)",  # its descriptor is closed below
    ],
)
def test_stderr_may_be_missing_closed_or_something_else(stream: str) -> None:
    """As pythonw, services, GUIs and notebooks have it."""
    run(
        f"""
        import io
        from xlc_core.models import catalog
        class Closed(io.StringIO):
            closed = True
            def write(self, *_): raise ValueError("I/O operation on closed file")
            isatty = flush = write
        class Refuses:
            def write(self, text): raise OSError("no such device")
        sys.stderr = {stream}
        sys.__stderr__ = None
        if "closefd" in {stream!r}:
            os.close(2)
        use(progress=True)
        catalog.resolve("xllama-rerank-mini")
        sys.stderr = None  # else Python flushes it at its end
        """
    )


def test_all_streams_may_be_missing(tmp_path: Path) -> None:
    result = tmp_path / "result"
    run(
        f"""
        sys.stdin = sys.stdout = sys.stderr = sys.__stdin__ = sys.__stdout__ = sys.__stderr__ = None
        for number in (0, 1, 2):
            os.close(number)
        use(progress=True)
        from xlc_core.cli.output import result_console
        result_console().print("nowhere")
        Path({str(result)!r}).write_text("done")
        """
    )
    assert result.read_text() == "done"


def test_download_shows_its_bar_where_it_can(tmp_path: Path) -> None:
    weights = write_byte_llama(tmp_path / "llama.gguf").read_bytes()
    with HubServer(repos={"org/model": {"llama.gguf": weights}}) as hub:
        run(
            """
            from xlc_core.models import catalog
            sys.stderr.close()
            print(catalog.pull("hf:org/model:llama.gguf", progress=True).path.name)
            """,
            HF_ENDPOINT=hub.url,
            HF_HOME=tmp_path / "hub",
        )


NO_HOME = {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "XLLAMA_CACHE": None, "HF_HOME": None}


@pytest.mark.parametrize("home", [None, "", "/nonexistent", "/dev/null", "relative"])
def test_home_folder_may_be_missing(home: str | None) -> None:
    """As in containers whose user has a number and no name."""
    lines = run(
        """
        import pwd
        def missing(*_): raise KeyError("no such user")
        pwd.getpwuid = pwd.getpwnam = missing
        from xlc_core.models import catalog
        use()
        with xlc.Engine("xllama-rerank-mini") as engine:
            engine.rerank("a", ["b"])
        print(catalog.is_cached("smollm2-135m-instruct"))
        print(catalog.find_local("~/model.gguf"), catalog.find_local("~nobody/model.gguf"))
        try:
            xlc.Engine(Path("~nobody/model.gguf"))
        except xlc.ModelNotFoundError as error:
            print(error)
        try:
            catalog.cache_dir()
        except xlc.ModelNotFoundError as error:
            print(error)
        """,
        **{**NO_HOME, "HOME": home},
    ).splitlines()
    assert lines[:2] == ["False", "None None"]
    assert lines[2].startswith("there is no file at '~nobody/model.gguf'")
    if home is None:
        assert "set XLLAMA_CACHE" in lines[3]


def test_folders_of_another_user_are_passed_over(tmp_path: Path) -> None:
    """As with HOME=/root in a container that runs as another user."""
    (tmp_path / "closed").mkdir()
    lines = run(
        f"""
        from helpers.children import obey_modes
        from xlc_core.models import catalog
        home = Path({str(tmp_path / "closed")!r})
        home.chmod(0)
        obey_modes()
        use()
        catalog.resolve("xllama-rerank-mini")
        print(catalog.is_cached("smollm2-135m-instruct"))
        for model in (home / "a.gguf", str(home / "a.gguf"), "hf:org/model"):
            try:
                xlc.Engine(model, lora=[home / "lora.gguf"])
            except xlc.ModelNotFoundError as error:
                print(error)
        """,
        **{**NO_HOME, "HOME": tmp_path / "closed", "HF_HUB_OFFLINE": "1"},
    ).splitlines()
    assert lines[0] == "False"
    assert "Permission denied" in lines[1]
    assert len(lines) == 4


def test_models_and_caches_may_be_read_only(tmp_path: Path) -> None:
    weights = write_byte_llama(tmp_path / "llama.gguf").read_bytes()
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(
        '[mine]\ndescription = "."\nlicense = "MIT"\nkind = "chat"\nsource = "hf:org/model:llama.gguf"\n'
    )
    program = """
        from helpers.children import obey_modes
        if READ_ONLY:
            for folder, _, names in os.walk(ROOT):
                for file in (Path(folder, name) for name in names):
                    if not file.is_symlink():
                        file.chmod(0o444)
                os.chmod(folder, 0o555)
            obey_modes()
        for model in ("mine", "hf:org/model:llama.gguf", ROOT / "llama.gguf"):
            use(model)
        print("done")
        """
    with HubServer(repos={"org/model": {"llama.gguf": weights}}) as hub:
        for read_only, offline in ((False, None), (True, None), (True, "1")):
            text = run(
                f"READ_ONLY, ROOT = {read_only}, Path({str(tmp_path)!r})\n" + textwrap.dedent(program),
                HF_ENDPOINT=hub.url,
                HF_HOME=tmp_path / "hub",
                HF_HUB_OFFLINE=offline,
                XLLAMA_CACHE=tmp_path / "cache",
                XLLAMA_CATALOG=catalog,
            )
            assert text == "done\n"
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o755)


@pytest.mark.parametrize("fault", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_caches_may_be_in_folders_without_locks(fault: str, tmp_path: Path) -> None:
    """As Lustre and CIFS may be mounted. Some versions of filelock take another lock then."""
    run(
        f"""
        import errno, fcntl, warnings
        from xlc_core.models import catalog, storage
        def refuse(*_): raise OSError(errno.{fault}, "no locks")
        fcntl.flock = refuse
        warnings.simplefilter("ignore")
        assert catalog.resolve("xllama-rerank-mini").path.is_file()
        def produce(folder):
            (folder / "a.gguf").write_bytes(b"a")
            return folder / "a.gguf"
        target, record = Path({str(tmp_path / "a.gguf")!r}), {{"source": "x"}}
        try:
            storage.store(target, record, produce)
        except xlc.ModelNotFoundError as error:
            assert "set XLLAMA_CACHE to another folder" in str(error)
        else:
            assert storage.is_stored(target, record)
        """,
        XLLAMA_CACHE=tmp_path / "cache",
    )


def test_proxy_of_the_environment_is_used_for_the_hub(tmp_path: Path) -> None:
    weights = write_byte_llama(tmp_path / "llama.gguf").read_bytes()
    program = 'use("hf:org/model:llama.gguf")'
    with HubServer(repos={"org/model": {"llama.gguf": weights}}) as hub:
        run(program, HF_ENDPOINT="http://hub.invalid", http_proxy=hub.url, no_proxy=None, HF_HOME=tmp_path / "a")
        assert {request.path[:18] for request in hub.requests} == {"http://hub.invalid"}
        dead = "http://127.0.0.1:9"
        for name in ("no_proxy", "NO_PROXY"):
            others = {"http_proxy": dead, "https_proxy": dead, "HTTP_PROXY": dead, "no_proxy": None, "NO_PROXY": None}
            run(program, HF_ENDPOINT=hub.url, HF_HOME=tmp_path / name, **{**others, name: "127.0.0.1,localhost"})


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1", "none_XX"])
def test_locale_may_be_any(locale: str, tmp_path: Path) -> None:
    folder = tmp_path / "ünï 日本"
    folder.mkdir()
    write_byte_llama(folder / "lläma.gguf")
    surroundings = {"LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = run(
        f"""
        from xlc_core.models.identity import model_identity
        path = Path(os.fsdecode({os.fsencode(folder)!r})) / os.fsdecode({"lläma.gguf".encode()!r})
        use(path)
        assert model_identity(path)
        print("done")
        """,
        PYTHONIOENCODING="ascii",
        **surroundings,
    )
    assert text == "done\n"


NAMES = [
    "a b  c ",
    "ünï 日本 😀 e\u0301",
    'it\'s "q" $HOME `x`',
    "a\nb",
    "%20%s{0}",
    "hf:x:y",
    "a,b=c;d",
    "a\\b",
    "-x",
]


@pytest.mark.parametrize("name", NAMES)
def test_paths_may_have_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = write_byte_llama(folder / f"{name}.gguf")
    run(f"use({str(path)!r}); use(Path({name!r}, {path.name!r}), lora=[])", cwd=tmp_path)


def test_paths_may_be_long(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 15)
    folder.mkdir(parents=True)
    path = write_byte_llama(tmp_path / "llama.gguf").rename(folder / f"{'m' * 200}.gguf")
    lines = run(
        f"""
        use({str(path)!r})
        for path in ("x" * 300, Path("x" * 300), "y/" * 3000, Path("y/" * 3000), "a\\0b", Path("a\\0b")):
            try:
                xlc.Engine(path)
            except xlc.XllamaError as error:
                print(type(error).__name__)
        """
    ).splitlines()
    assert len(lines) == 6
    assert set(lines) <= {"ModelNotFoundError", "InvalidRequestError"}


def test_links_are_followed(tmp_path: Path) -> None:
    write_byte_llama(tmp_path / "llama.gguf")
    (tmp_path / "first.gguf").symlink_to("llama.gguf")
    (tmp_path / "second.gguf").symlink_to(tmp_path / "first.gguf")
    (tmp_path / "dead.gguf").symlink_to("nowhere")
    (tmp_path / "self.gguf").symlink_to("self.gguf")
    lines = run(
        """
        use("second.gguf"), use("./second.gguf")
        for name in ("./dead.gguf", "./self.gguf"):
            try:
                xlc.Engine(name)
            except xlc.ModelNotFoundError as error:
                print(error)
        """,
        cwd=tmp_path,
    ).splitlines()
    assert len(lines) == 2


def test_working_and_temporary_folders_may_be_gone(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    run(
        f"""
        from xlc_core.models import catalog
        os.chdir({str(folder)!r})
        os.rmdir({str(folder)!r})
        use()
        catalog.resolve("xllama-rerank-mini")
        """,
        **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), "/proc/none"),
    )


def test_few_files_may_be_open() -> None:
    lines = run(
        """
        import resource
        use()
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, used + 4))
        use()
        held = []
        while True:
            try:
                held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        try:
            use()
        except xlc.XllamaError as error:
            print(type(error).__name__, "Too many open files" in str(error))
        for number in held:
            os.close(number)
        use()
        """
    ).splitlines()
    assert lines == ["ModelLoadError True"]


@pytest.mark.parametrize("flags", [["-I"], ["-OO"], ["-W", "error"], ["-X", "dev"], ["-X", "utf8=0"], ["-b", "-b"]])
def test_interpreter_may_have_any_flags(flags: list[str]) -> None:
    run("use()", flags=flags)


def test_command_works_without_utf8_and_without_streams(tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "llama.gguf").rename(tmp_path / "lläma.gguf")
    program = f"""
        from xlc_core.cli.main import app
        path = os.fsdecode({os.fsencode(path)!r})
        if STREAM is None:
            sys.stdout = sys.stderr = None
        codes = []
        for words in (["models", "list"], ["models", "path", path], ["models", "path", "none"], ["--help"]):
            sys.argv = ["xllama", *words]
            try:
                app()
            except SystemExit as end:
                codes.append(end.code)
        assert codes == [0, 0, 1, 0], codes
        """
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"}
    text = run("STREAM = 1" + textwrap.dedent(program), **ascii_only)
    assert "lläma.gguf" in text
    run("STREAM = None" + textwrap.dedent(program))
