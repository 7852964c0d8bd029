"""A chat that the template cannot express is refused, and the error names the message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc

ONLY_FIRST_SYSTEM = (
    "{%- if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif -%}"
    "{%- for m in messages %}{% if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor -%}"
    "{%- if add_generation_prompt %}assistant:{% endif -%}"
)
LATE_SYSTEM = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "system", "content": "Be brief from now on."},
    {"role": "user", "content": "Why?"},
]


def saving(engine: xlc.Engine, folder: Path) -> Callable[[Any], Any]:
    return lambda messages: engine.save_session(folder / "saved.session", messages)


@pytest.fixture(scope="module")
def strict(vendored_llama_cpp: Path) -> str:
    return (vendored_llama_cpp / "models" / "templates" / "google-gemma-2-2b-it.jinja").read_text(encoding="utf-8")


def test_message_that_the_template_refuses_is_named(smollm2_path: Path, strict: str, tmp_path: Path) -> None:
    """Its conversations must alternate, and the fourth message does not."""
    roles = ("user", "assistant", "user", "user", "assistant", "user")
    messages = [{"role": role, "content": "Well."} for role in roles]
    with xlc.Engine(smollm2_path, n_ctx=1024, n_parallel=1, chat_template=strict) as engine:
        for ask in (engine.chat, engine.render_chat, engine.count_tokens, saving(engine, tmp_path)):
            with pytest.raises(
                xlc.InvalidRequestError, match=r"(?s)message 3 \(user\) is refused .*must alternate"
            ) as caught:
                ask(messages)
            assert caught.value.message_index == 3
            assert caught.value.template_reason
            assert "must alternate" in caught.value.template_reason


async def test_system_message_that_the_template_ignores_is_refused(smollm2_path: Path, tmp_path: Path) -> None:
    with xlc.Engine(smollm2_path, n_ctx=1024, n_parallel=1, chat_template=ONLY_FIRST_SYSTEM) as engine:
        with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 2 \(system\) is ignored"):
            engine.chat(LATE_SYSTEM, max_tokens=1)
        with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 2 \(system\)"):
            await engine.achat(LATE_SYSTEM, max_tokens=1)
        with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 2 \(system\)") as caught:
            saving(engine, tmp_path)(LATE_SYSTEM)
        assert caught.value.message_index == 2
        with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 2 \(system\)"):
            engine.count_tokens(LATE_SYSTEM)
        leading = [LATE_SYSTEM[2], *LATE_SYSTEM[:2], LATE_SYSTEM[3]]
        assert engine.chat(leading, max_tokens=1).usage.completion_tokens == 1


def test_template_that_takes_it_anywhere_keeps_it(engine: xlc.Engine) -> None:
    prompt = engine.render_chat(LATE_SYSTEM)
    assert prompt.index("Hello") < prompt.index("Be brief from now on.") < prompt.index("Why?")
    assert engine.chat(LATE_SYSTEM, max_tokens=1).usage.completion_tokens == 1
