"""llama-cpp-python's own tests, with models that lie here: those that use its classes pass."""

from __future__ import annotations

import ast
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from frameworks_outside.llama_cpp_programs.original import original_source

MODELS = Path(__file__).parents[2] / "model_files"

PASS = {
    *("test_composed_pydantic_grammar", "test_find_candidate_pred_tokens", "test_grammar_anyof"),
    *("test_grammar_from_string", "test_hf_tokenizer_config_str_to_chat_formatter", "test_llama_cpp_version"),
    *("test_real_llama_embeddings", "test_real_llama_repeated_prompt_cache"),
}
FAIL = {
    "test_exact_cached_prompt_reuse_matches_fresh": "it calls eval",
    "test_hybrid_model_prompt_cache_reset": "it reads a private attribute",
    "test_llama_cpp_tokenization": "vocab_only",
    "test_loaded_exact_cached_prompt_reuse_matches_fresh": "it calls eval",
    "test_mistral_instruct": "format_mistral_instruct; the model's own template is used",
    "test_ram_cache_exact_prompt_hit_matches_fresh": "it reads a private attribute, and counts calls of load_state",
    "test_real_llama": "it multiplies logits by 1000, and gets log-probabilities, which are below 0",
    "test_real_model": "llama.cpp's C interface",
    "test_recurrent_model_prompt_cache_reset": "it reads a private attribute",
    "test_shorter_prompt_prefix_reuse_matches_fresh": "it calls eval",
}


def prepare(folder: Path, models: dict[str, str]) -> None:
    """Copy the tests, without their fixtures, which fetch models from elsewhere, and without the private module."""
    lines = ["import pytest", "from xlc_core.compat import llama_cpp", "llama_cpp.install()"]
    for name, path in models.items():
        lines += ["", "@pytest.fixture", f"def {name}():", f"    return {path!r}"]
    (folder / "conftest.py").write_text("\n".join(lines))
    for file in (original_source() / "tests").glob("test_*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if not _is_left_out(node)]
        (folder / file.name).write_text(ast.unparse(_WithoutAnswers().visit(tree)))


class _WithoutAnswers(ast.NodeTransformer):
    """Removes what only another model answers. That equal requests have equal answers is still compared."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert | None:
        return None if "' jumps over the lazy dog.'" in ast.unparse(node.test) else node


def _is_left_out(node: ast.stmt) -> bool:
    text = ast.unparse(node)
    return text.startswith("@pytest.fixture") or text == "import llama_cpp._internals as internals"


def test_own_tests(tmp_path: Path, smollm2_path: Path, embedder_path: Path) -> None:
    models = {
        "llama_cpp_model_path": str(smollm2_path),
        "llama_cpp_transformer_model_path": str(smollm2_path),
        "llama_cpp_embedding_model_path": str(embedder_path),
        "llama_cpp_recurrent_model_path": str(MODELS / "recurrent.gguf"),
        "llama_cpp_hybrid_model_path": str(MODELS / "hybrid.gguf"),
    }
    prepare(tmp_path, models)
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", f"--junitxml={report}", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=False, timeout=280)
    failed: dict[str, bool] = {}
    for case in ET.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        failed[name] = failed.get(name, False) or any(child.tag in ("failure", "error") for child in case)
    assert {name for name, has_failed in failed.items() if not has_failed} == PASS
    assert {name for name, has_failed in failed.items() if has_failed} == FAIL.keys()
