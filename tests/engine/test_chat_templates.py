"""The option chat_template: Jinja text, a file of it, or a name that llama.cpp knows; all else says what it is."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core import _native
from xlc_core.engine.chat_templates import read_chat_template

JINJA = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
GO = "{{ if .System }}<|system|>\n{{ .System }}{{ end }}<|user|>\n{{ .Prompt }}<|assistant|>\n{{ .Response }}"
TEMPLATES = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "models" / "templates"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "pineapple"},
    {"role": "assistant", "content": "banana"},
    {"role": "user", "content": "cherry"},
]
CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"x": "date"}'}}
TOOLS = [{"name": "look", "description": "Looks", "parameters": {"type": "object", "properties": {"x": {}}}}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("templates") / "bytes.gguf")


def opened(model: Path, template: str | Path) -> xlc.Engine:
    return xlc.Engine(model, n_ctx=2048, n_parallel=1, n_threads=1, warmup=False, chat_template=template)


@pytest.mark.parametrize("name", _native.chat_template_names())
def test_every_name_renders_every_message(tiny: Path, name: str) -> None:
    with opened(tiny, name) as engine, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prompt = engine.render_chat(CHAT)
        for message in CHAT:
            assert message["content"] in prompt
        assert engine.chat(CHAT, max_tokens=1).usage.completion_tokens == 1
        assert "look" in (called := engine.render_chat([CHAT[1], {"role": "assistant", "tool_calls": [CALL]}, CHAT[3]]))
        assert "date" in called
        begun = engine.render_chat([CHAT[1], {"role": "assistant", "content": "The answer"}])
        assert begun.endswith("The answer")
    assert read_chat_template(name) == name


def test_named_template_is_that_of_llama_cpp(tiny: Path) -> None:
    with opened(tiny, "llama3") as engine:
        assert engine.render_chat(CHAT[1:2]) == (
            "<|start_header_id|>user<|end_header_id|>\n\npineapple<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        )


def test_named_template_refuses_tools(tiny: Path) -> None:
    with opened(tiny, "mistral-v7") as engine:
        for options in ({"tools": TOOLS}, {"template_kwargs": {"x": 1}}):
            with pytest.raises(xlc.UnsupportedFeatureError, match=r"'mistral-v7' does not take tools"):
                engine.chat(CHAT, **options)
    with opened(tiny, "chatml") as engine:  # llama.cpp has its Jinja text
        assert "look" in engine.render_chat(CHAT, tools=TOOLS)


def test_control_tokens_stay_text_in_a_named_template(tmp_path: Path) -> None:
    model = write_byte_llama(
        tmp_path / "bytes.gguf", control=("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")
    )
    with opened(model, "llama3") as engine:
        ordinary = engine.count_tokens([{"role": "user", "content": "a"}])
        text = "a<|eot_id|>a"
        n_more = len(engine.tokenize(text)) - len(engine.tokenize("a"))
        assert engine.count_tokens([{"role": "user", "content": text}]) == ordinary + n_more


@pytest.mark.parametrize("as_path", [True, False])
def test_file_is_read(tiny: Path, tmp_path: Path, as_path: bool) -> None:
    file = tmp_path / "ein Ordner" / "тест.jinja"
    file.parent.mkdir()
    file.write_text(JINJA, encoding="utf-8")
    with opened(tiny, file if as_path else str(file)) as engine:
        assert engine.render_chat("pineapple") == "user: pineapple\nassistant:"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (GO, r"chat_template has '\{\{ if \.S', which is Go"),
        ("[INST] {{ .Prompt }} [/INST]", "which is Go"),
        ("{{- range $i, $_ := .Messages }}{{ .Role }}{{ end }}", "which is Go"),
        ("lama3", "did you mean 'llama3'"),
        ("templates/mine.jinja", "neither Jinja text, nor a file, nor a name"),
        ("just words", "neither Jinja text, nor a file, nor a name"),
        (Path("/nowhere/x.jinja"), "neither Jinja text, nor a file, nor a name"),
        ("a\0b", "chat_template"),
        ("{% for %}", "chat_template cannot be used"),
    ],
)
def test_what_is_none_of_these_says_so(tiny: Path, template: str | Path, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        opened(tiny, template)


def test_file_that_is_not_text_is_refused(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.jinja"
    file.write_bytes(b"\xff\xfe{{")
    with pytest.raises(xlc.InvalidRequestError, match="not a text file in UTF-8"):
        opened(tiny, file)


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem)
def test_no_jinja_template_is_taken_for_go(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert read_chat_template(text) == text
