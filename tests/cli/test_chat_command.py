"""``xllama chat`` and ``xllama complete``: in pipes, and in a real terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.cli.conversation import Conversation
from xlc_core.cli.output import AnswerWriter
from xlc_core.testing import ScriptedEngine

if sys.platform != "win32":
    import pexpect

COMMAND = [sys.executable, "-c", "from xlc_core.cli import app; app()"]
GREEDY = ("--temperature", "0", "--max-tokens", "8")


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, encoding="utf-8", timeout=120, check=False)


def test_piped_question_is_answered_once(smollm2_path: Path) -> None:
    result = run("chat", smollm2_path, *GREEDY, stdin="Name a colour.\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert "\x1b" not in result.stdout


def test_piped_text_is_added_to_the_prompt(smollm2_path: Path) -> None:
    alone, both = (
        json.loads(run("chat", smollm2_path, "Summarise this.", *GREEDY, "--json", stdin=piped).stdout)
        for piped in ("", "word " * 50)
    )
    assert both["prompt_tokens"] > alone["prompt_tokens"] + 40
    assert 1 <= both["completion_tokens"] <= 8
    assert both["finish_reason"] in ("stop", "length")


def test_answer_follows_a_schema(smollm2_path: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}')
    result = run("chat", smollm2_path, "How old is Ann?", "--schema", schema, "--max-tokens", "30")
    assert isinstance(json.loads(result.stdout)["age"], int)


def test_text_is_continued(smollm2_path: Path) -> None:
    answer = json.loads(run("complete", smollm2_path, "1, 2, 3, 4,", *GREEDY, "--json").stdout)
    assert answer["text"].startswith(" 5, 6")
    missing = run("complete", smollm2_path)
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: a text to continue is missing")


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect needs a pseudo-terminal")
def test_chat_in_a_terminal(smollm2_path: Path, tmp_path: Path) -> None:
    arguments = ["chat", str(smollm2_path), "--n-ctx", "512", "--temperature", "0"]
    environment = {"TERM": "dumb", "COLUMNS": "200"}
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], *arguments], env={**os.environ, **environment}, timeout=120)
    child.expect("/help lists the commands")
    child.expect("> ")
    child.sendline("Name a colour.")
    child.expect(r"\[\d+ tokens read, 0 of them cached; \d+ written")
    child.expect("> ")
    child.sendline("And another?")
    child.expect(r"tokens read, [1-9]\d* of them cached")
    child.expect("> ")
    child.sendline("/nothing")
    child.expect("there is no command /nothing")
    child.expect("> ")
    child.sendline("Count from one to a thousand in words.")
    child.expect("one")  # the question, as the terminal echoes it
    child.expect("\n")
    child.expect(r"\w")
    child.sendintr()
    child.expect("> ")
    child.sendline(f"/save {tmp_path / 'chat.json'}")
    child.expect("messages are in")
    child.expect("> ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    saved = json.loads((tmp_path / "chat.json").read_text("utf-8"))
    assert [message["role"] for message in saved][:4] == ["user", "assistant"] * 2
    assert saved[4]["content"].startswith("Count")


class Recorder:
    """A chat with a scripted engine."""

    def __init__(self, *replies: Any, **options: Any) -> None:
        self.engine: Any = ScriptedEngine(list(replies))
        self.chat = Conversation(self.engine, {}, **options)

    def ask(self, text: str) -> None:
        self.chat.ask(text, AnswerWriter(silent=True))

    def sent(self, number: int = -1) -> list[tuple[str, Any]]:
        return [(message.role, message.content) for message in self.engine.requests[number].messages]


def test_oldest_question_is_left_out_when_the_context_is_full() -> None:
    full = xlc.ContextOverflowError("too long", n_prompt_tokens=9, n_ctx=8)
    recorder = Recorder("one", "two", full, "three", system="Be brief.")
    for text in ("first", "second", "third"):
        recorder.ask(text)
    assert recorder.sent() == [("system", "Be brief."), ("user", "second"), ("assistant", "two"), ("user", "third")]


def test_question_that_never_fits_is_forgotten() -> None:
    full = xlc.ContextOverflowError("too long", n_prompt_tokens=9, n_ctx=8)
    recorder = Recorder(full, "fine")
    with pytest.raises(xlc.ContextOverflowError):
        recorder.ask("long")
    recorder.ask("short")
    assert recorder.sent() == [("user", "short")]


def test_image_goes_with_the_next_question_only(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"PNG")
    recorder = Recorder("red", "yes", images=[image])
    recorder.ask("What is it?")
    recorder.ask("Sure?")
    (_, parts), *_, (_, last) = recorder.sent()
    assert [part.type for part in parts] == ["image", "text"]
    assert last == "Sure?"


def test_terminal_does_not_obey_an_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("xlc_core.cli.output.is_terminal", lambda stream: stream is sys.stdout)
    engine: Any = ScriptedEngine(["a\x1b]0;title\x07b\tc\nd"])
    AnswerWriter().write(engine.stream_chat("Hi"))
    assert capsys.readouterr().out == "a\\x1b]0;title\\x07b\tc\nd\n"
