"""Another package with llama.cpp of another version works in the same process, whichever is loaded first."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers.tiny_models import write_byte_llama

OURS = """
import sys
import xlc_core as xlc

def ours(path):
    with xlc.Engine(path, n_ctx=512, n_threads=1, n_parallel=2) as engine:
        return engine.complete("the tower", max_tokens=12, temperature=0, ignore_eos=True).text
"""
THEIRS = {
    "xllamacpp": """
        def theirs(path):
            import xllamacpp
            params = xllamacpp.CommonParams()
            params.model.path, params.n_ctx, params.n_parallel = path, 512, 1
            request = {"prompt": "the tower", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
            return xllamacpp.Server(params).handle_completions(request)["choices"][0]["text"]
        """,
    "llama_cpp": """
        def theirs(path):
            import llama_cpp
            llama = llama_cpp.Llama(path, n_ctx=512, n_threads=1, verbose=False)
            end = {llama.token_eos(): float("-inf")}
            done = llama.create_completion("the tower", max_tokens=12, temperature=0, logit_bias=end)
            return done["choices"][0]["text"]
        """,
}
BOTH = """
import json
order, path = sys.argv[1:]
print(json.dumps([(ours if who == "o" else theirs)(path) for who in order]))
"""


@pytest.mark.parametrize("order", ["ot", "to", "oto"])
@pytest.mark.parametrize("package", THEIRS)
def test_both_answer_in_one_process(tmp_path: Path, package: str, order: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; `make test-beside` installs it")
    path = write_byte_llama(tmp_path / "llama.gguf")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", OURS + textwrap.dedent(THEIRS[package]) + BOTH, order, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = done.stdout.splitlines()[-1]
    first, *others = json.loads(answers)
    assert len(first) > 4
    assert all(answer == first for answer in others)
