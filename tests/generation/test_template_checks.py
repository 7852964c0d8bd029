"""A chat that no form of which the template can express is refused, and the error names the message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core import _native
from xlc_core.generation.conversion import to_chat_request
from xlc_core.generation.message_reading import to_messages
from xlc_core.generation.template_checks import ChatRenderer
from xlc_core.generation.tool_choice import ToolUse
from xlc_core.options.sampling import ChatOptions

# Templates that refuse and ignore what no other form of a chat changes.
REFUSES = (
    "{% for m in messages %}{% if 'bomb' in m.content %}{{ raise_exception('not that word') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
)
IGNORES_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'user' and loop.last %}{{ m.content }}\n{% endif %}{% endfor %}assistant:"
)
LATE_SYSTEM = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "system", "content": "Be brief from now on."},
    {"role": "user", "content": "Why?"},
]


def saving(engine: xlc.Engine, folder: Path) -> Callable[[Any], Any]:
    return lambda messages: engine.save_session(folder / "saved.session", messages)


def test_message_that_the_template_refuses_is_named(smollm2_path: Path, tmp_path: Path) -> None:
    roles = ("user", "assistant", "user", "user", "assistant", "user")
    messages = [{"role": role, "content": "Well."} for role in roles]
    messages[3]["content"] = "A bomb."
    with xlc.Engine(smollm2_path, n_ctx=1024, n_parallel=1, chat_template=REFUSES) as engine:
        for ask in (engine.chat, engine.render_chat, engine.count_tokens, saving(engine, tmp_path)):
            with pytest.raises(
                xlc.InvalidRequestError, match=r"(?s)message 3 \(user\) is refused .*not that word"
            ) as caught:
                ask(messages)
            assert caught.value.message_index == 3
            assert caught.value.template_reason
            assert "not that word" in caught.value.template_reason


async def test_system_message_that_the_template_ignores_is_refused(smollm2_path: Path, tmp_path: Path) -> None:
    with xlc.Engine(smollm2_path, n_ctx=1024, n_parallel=1, chat_template=IGNORES_SYSTEM) as engine:
        for ask in (engine.chat, engine.render_chat, engine.count_tokens, saving(engine, tmp_path)):
            with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 2 \(system\) is ignored") as caught:
                ask(LATE_SYSTEM)
            assert caught.value.message_index == 2
        with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 2 \(system\)"):
            await engine.achat(LATE_SYSTEM, max_tokens=1)


def test_template_that_takes_it_anywhere_keeps_it(engine: xlc.Engine) -> None:
    prompt = engine.render_chat(LATE_SYSTEM)
    assert prompt.index("Hello") < prompt.index("Be brief from now on.") < prompt.index("Why?")
    assert engine.chat(LATE_SYSTEM, max_tokens=1).usage.completion_tokens == 1


class CountingEngine:
    """Refuses chats that reach message 7000, and counts how many it is asked to render."""

    def __init__(self) -> None:
        self.n_rendered = 0

    def render(self, chat: _native.ChatRequest) -> None:
        self.n_rendered += 1
        if len(chat.messages) > 7000:
            refusal = xlc.InvalidRequestError("refused")
            refusal.template_reason = "no"
            raise refusal


def test_message_of_a_long_chat_is_found_in_few_steps() -> None:
    messages = to_messages([{"role": role, "content": "Well."} for role in ("user", "assistant")] * 5000)
    engine = CountingEngine()
    with pytest.raises(xlc.InvalidRequestError, match="message 7000") as caught:
        ChatRenderer(engine).render(  # type: ignore[arg-type]
            messages, lambda form: to_chat_request(form, ToolUse(), ChatOptions(), is_part=True)
        )
    assert caught.value.message_index == 7000
    assert engine.n_rendered < 20
