"""Chat templates are programs out of files: they have a budget, and a broken one only keeps its model from chatting."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.children import run_child
from helpers.tiny_models import with_metadata, write_byte_llama

END = "{% for m in messages %}{{ m.content }}{% endfor %}"
DOUBLED = "{% for i in range(60) %}{% set ns.x = "

HOSTILE = {
    "loop": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "range": "{{ range(100000000000)|length }}",
    "text": "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}" + DOUBLED + "ns.x + ns.x %}{% endfor %}",
    "repetition": "{{ ('a' * 1000000000000)|length }}",
    "replacement": "{% set s = 'a' * 1000000 %}{{ s|replace('a', s)|length }}",
    "indent": "{{ ('a\nb'|indent(100000000000))|length }}",
    "json indent": "{{ [1, 2, [3]]|tojson(indent=2000000000)|length }}",
    "join": "{% set s = 'a' * 1000000 %}{{ range(1000000)|join(s)|length }}",
    "format": "{% set s = 'a' * 10000000 %}{{ '" + "{}" * 1000 + "'.format(" + "s," * 1000 + ")|length }}",
    "list of lists": "{% set ns = namespace(x=['']) %}" + DOUBLED + "[ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "json of lists": "{% set ns = namespace(x=[]) %}" + DOUBLED + "[ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "tuple of tuples": "{% set ns = namespace(x=(1, 2)) %}" + DOUBLED + "(ns.x, ns.x) %}{% endfor %}{{ ns.x == ns.x }}",
    "text of tuples": "{% set ns = namespace(x=(1, 2)) %}" + DOUBLED + "[ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}",
    "deep list": "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}"
    "{{ ns.x }}",
    "itself": "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns|tojson }}",
    "itself as text": "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns ~ '' }}",
    "itself in a list": "{% set a = [1] %}{% set b = a.append(a) %}{{ a|string }}",
    "macro": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "parentheses": "{{ " + "(" * 200000 + "1" + ")" * 200000 + " }}",
    "few parentheses": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " * 'a' * 1000000000000 }}",
    "sum": "{{ 1" + " + 1" * 20000 + " }}{{ 'a' * 1000000000000 }}",
    "split": "{% set s = 'ab' * 1000000 %}{{ s.split('b')|length }}",
    "division": "{{ 1 is divisibleby 0 }}",
    "division in a filter": "{{ [1, 2]|select('divisibleby', 0)|list }}",
    "sort": "{{ (range(300)|list + ['10', '9', '5', 'x'] + range(300)|list)|sort|length }}",
    "slice": "{{ range(10)|list()[5::9223372036854775807] }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template_is_refused(tmp_path: Path, name: str) -> None:
    template = tmp_path / "template.jinja"
    template.write_text(HOSTILE[name] + END, encoding="utf-8")
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
template = Path({str(template)!r}).read_text(encoding="utf-8")
try:
    with xlc.Engine(MODELS / "llama.gguf", chat_template=template, n_ctx=256, n_threads=1, warmup=False) as engine:
        print("rendered", len(engine.render_chat("hi")))
except xlc.InvalidRequestError as error:
    print("refused", error)
"""
    printed = run_child(program, timeout=100)
    assert printed.startswith("refused")
    assert "template" in printed


def test_texts_that_template_makes_may_be_large_for_large_chats(engine: xlc.Engine) -> None:
    chat = [{"role": role, "content": "word " * 20} for _ in range(1000) for role in ("user", "assistant")]
    chat.append({"role": "user", "content": "word " * 200_000})
    assert engine.render_chat(chat).count("word") == 240_000
    tools = [{"name": f"f{i}", "description": "d" * 100, "parameters": {"type": "object"}} for i in range(50)]
    assert engine.render_chat(chat, tools=tools).count("word") == 240_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("templates") / "bytes.gguf")


def test_shipped_templates_are_within_budget(
    vendored_llama_cpp: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    templates = sorted((vendored_llama_cpp / "models" / "templates").glob("*.jinja"))
    assert len(templates) > 40
    with caplog.at_level(logging.WARNING, logger="xllama"):
        for path in templates:
            template = path.read_text(encoding="utf-8")
            xlc.Engine(model, n_ctx=64, n_parallel=1, n_threads=1, chat_template=template, warmup=False).close()


@pytest.mark.parametrize(
    "template",
    ["{% for %}", "{{ unclosed", HOSTILE["loop"] + END, HOSTILE["parentheses"] + END],
    ids=["syntax", "unclosed", "loop", "parentheses"],
)
def test_model_with_broken_template_completes_and_embeds(
    tmp_path: Path, model: Path, template: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = with_metadata(model, tmp_path / "broken.gguf", tokenizer__chat_template=template)
    with caplog.at_level(logging.WARNING, logger="xllama"):
        engine = xlc.Engine(path, n_ctx=256, n_parallel=2, n_threads=1)
    with engine:
        assert engine.complete("a", max_tokens=2, ignore_eos=True).usage.completion_tokens == 2
        assert engine.embed(["a"]).shape[0] == 1
        tool = xlc.Tool(name="f")
        for call in (
            lambda: engine.chat("hi", max_tokens=1),
            lambda: engine.render_chat("hi"),
            lambda: engine.chat("hi", tools=[tool], max_tokens=1),
        ):
            with pytest.raises(xlc.InvalidRequestError, match=r"chat template cannot be used.*chat_template"):
                call()
    assert "does not chat" in caplog.text


def test_given_template_that_is_broken_is_refused_at_opening(model: Path) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="chat_template cannot be used"):
        xlc.Engine(model, n_ctx=64, chat_template="{% for %}")
