"""A chat in a terminal: questions are read, answers streamed, and the chat is remembered."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlc_core.cli.output import AnswerWriter, note
from xlc_core.errors import ContextOverflowError, XllamaError
from xlc_core.messages import ImagePart, Message, TextPart

if TYPE_CHECKING:
    from xlc_core.engine.engine import Engine
    from xlc_core.results import Completion

__all__ = ["Conversation"]


class Conversation:
    """The messages of a chat, and the commands that change them."""

    def __init__(
        self, engine: Engine, options: dict[str, Any], *, system: str | None = None, images: Sequence[Path] = ()
    ) -> None:
        """Begin a chat.

        Args:
            engine: the model.
            options: of every request, as fields of ChatOptions.
            system: the system message.
            images: files for the first question.
        """
        self.messages: list[Message] = []
        self._engine = engine
        self._options = options
        self._images: list[Path] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/system": self._set_system,
            "/image": self._add_image,
            "/save": self._save,
            "/clear": self._clear,
            "/help": self._help,
        }
        if system is not None:
            self._set_system(system)
        for path in images:
            self._add_image(str(path))

    def run(self) -> None:
        """Read questions and commands until /exit, the end of the input, or Ctrl+C at the prompt."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 # input() edits lines and remembers them with it
        note(f"{self._engine.info.name}: /help lists the commands, Ctrl+D ends the chat")
        while True:
            try:
                line = input("> ").strip()
            except (EOFError, KeyboardInterrupt):
                print()
                return
            if line == "/exit":
                return
            if not line:
                continue
            try:
                self._take(line)
            except (OSError, XllamaError) as error:
                note(f"error: {error}")

    def ask(self, text: str, writer: AnswerWriter) -> Completion | None:
        """Ask a question and write the answer; both are remembered. Returns None if it was interrupted.

        If the chat does not fit into the context, the oldest questions and answers are left out.

        Raises:
            XllamaError: the errors of Engine.stream_chat; then the question is not remembered.
        """
        content: str | list[Any] = text
        if self._images:
            content = [*(ImagePart(path=path) for path in self._images), TextPart(text=text)]
        self.messages.append(Message(role="user", content=content))
        try:
            answer = self._answer(writer)
        except XllamaError:
            self.messages.pop()
            raise
        self._images.clear()
        if writer.text:
            self.messages.append(Message(role="assistant", content=writer.text))
        return answer

    def _answer(self, writer: AnswerWriter) -> Completion | None:
        while True:
            try:
                with self._engine.stream_chat(self.messages, **self._options) as stream:
                    return writer.write(stream)
            except ContextOverflowError:
                if not self._forget_oldest():
                    raise

    def _forget_oldest(self) -> bool:
        """Leave out the oldest question with its answer; return whether there was one before the last question."""
        first = 1 if self.messages[0].role == "system" else 0
        after = next((n for n in range(first + 1, len(self.messages)) if self.messages[n].role == "user"), None)
        if after is None:
            return False
        del self.messages[first:after]
        note("the context is full: the oldest question and its answer were left out")
        return True

    def _take(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        if line.startswith("/"):
            if command not in self._commands:
                note(f"there is no command {command}; /help lists them")
                return
            self._commands[command](argument.strip())
            return
        answer = self.ask(line, AnswerWriter())
        if answer is not None:
            usage, speed = answer.usage, answer.timings.generation_tokens_per_second
            note(
                f"[{usage.prompt_tokens} tokens read, {usage.cached_tokens} of them cached; "
                f"{usage.completion_tokens} written, {speed:.1f} a second]"
            )

    # Commands

    def _set_system(self, text: str) -> None:
        if self.messages and self.messages[0].role == "system":
            self.messages.pop(0)
        if text:
            self.messages.insert(0, Message(role="system", content=text))

    def _add_image(self, path: str) -> None:
        if not Path(path).expanduser().is_file():
            note(f"the file {path!r} does not exist")
            return
        self._images.append(Path(path).expanduser())

    def _save(self, path: str) -> None:
        if not path:
            note("name a file: /save chat.json")
            return
        messages = [message.model_dump(mode="json", exclude_defaults=True) for message in self.messages]
        Path(path).expanduser().write_text(json.dumps(messages, ensure_ascii=False, indent=2) + "\n", "utf-8")
        note(f"{len(messages)} messages are in {path}")

    def _clear(self, _: str) -> None:
        self.messages = [message for message in self.messages if message.role == "system"]
        self._images.clear()

    def _help(self, _: str) -> None:
        note(
            "/system TEXT  change the system message; without a text, remove it\n"
            "/image PATH   show the model an image with the next question\n"
            "/save PATH    write the chat into a JSON file\n"
            "/clear        forget the chat, but not the system message\n"
            "/exit         end the chat; so does Ctrl+D\n"
            "Ctrl+C        stop an answer; what it said stays in the chat"
        )
