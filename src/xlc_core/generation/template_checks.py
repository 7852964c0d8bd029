"""Renders chats, and gives those that a chat template refuses or ignores in part a form that it takes."""

from __future__ import annotations

import bisect
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError
from xlc_core.generation.chat_fitting import find_orphans, is_system, other_forms
from xlc_core.generation.conversion import text_of
from xlc_core.generation.left_out import LeftOut
from xlc_core.messages import Message

__all__ = ["ChatRenderer"]

BuildChat = Callable[[Sequence[Message]], _native.ChatRequest]

_FEW_MESSAGES = 64


class ChatRenderer:
    """Renders the chats of one engine. Any number of threads may use it.

    Args:
        engine: renders.
    """

    def __init__(self, engine: _native.Engine) -> None:
        self._engine = engine
        self._shows_names: bool | None = None

    def render(self, messages: Sequence[Message], build: BuildChat) -> tuple[_native.RenderedChat, Sequence[Message]]:
        """Render a chat so that the prompt holds all of its texts.

        A chat that the template takes is rendered as it is. Otherwise the first of its other forms that the template
        takes is used (chat_fitting), with a warning that says what was changed.

        Args:
            messages: the chat.
            build: makes the native chat of messages.

        Returns:
            The prompt, and the messages that it was made of.

        Raises:
            InvalidRequestError: the template refuses every form; the error names the message, where one is to blame.
            UnsupportedFeatureError: the template ignores a message in every form.
        """
        refusal: InvalidRequestError | None = None
        for change, form in _forms(messages, build):
            try:
                rendered = self._engine.render(build(form))
            except InvalidRequestError as error:
                if error.template_reason is None:
                    raise
                refusal = refusal or error
                continue
            lost = self._lost_message(form, rendered.prompt, build, is_changed=bool(change))
            if lost is None:
                if change:
                    warnings.warn(f"the model's chat template does not take this chat as it is: {change}", stacklevel=2)
                self._warn_about_names(form, build)
                return rendered, form
            refusal = refusal or _ignored(lost, form[lost])
        if refusal is None or refusal.template_reason is None:
            raise refusal or InvalidRequestError("a chat needs at least one message")
        raise self._with_message_index(messages, build, refusal) from None

    def _lost_message(
        self, messages: Sequence[Message], prompt: str, build: BuildChat, *, is_changed: bool
    ) -> int | None:
        """Return the place of a message that the template has ignored. Only those are looked for that some ignore."""
        suspects = find_orphans(messages)
        system = [index for index, message in enumerate(messages) if is_system(message)]
        if is_changed or system:
            checked = [i for i, message in enumerate(messages) if message.role != "assistant"] if is_changed else system
            suspects += _missing({index: text_of(messages[index]).strip() for index in checked}, prompt)
        if not suspects:
            return None
        marks = {index: _mark() for index in suspects}
        marked = [
            message.model_copy(update={"content": marks[index]}) if index in marks else message
            for index, message in enumerate(messages)
        ]
        try:
            shown = self._engine.render(build(marked)).prompt
        except InvalidRequestError:  # the template reads more out of such a message than text
            return None
        return next((index for index, mark in marks.items() if mark not in shown), None)

    def _warn_about_names(self, messages: Sequence[Message], build: BuildChat) -> None:
        named = next((i for i, one in enumerate(messages) if one.name and one.role in ("user", "assistant")), None)
        if named is None:
            return
        if self._shows_names is None:
            mark = _mark()
            probe = [Message(role="user", content="a", name=mark), Message(role="assistant", content="b", name=mark)]
            try:
                prompt = self._engine.render(build([*probe, Message(role="user", content="c")])).prompt
            except InvalidRequestError:
                prompt = mark
            self._shows_names = mark in prompt
        if not self._shows_names:
            left_out = LeftOut()
            left_out.add("names of those who speak", f"message {named}")
            left_out.warn()

    def _with_message_index(
        self, messages: Sequence[Message], build: BuildChat, error: InvalidRequestError
    ) -> InvalidRequestError:
        """Find the message at which the template refused the chat: the first one up to which it already does.

        In a long chat a binary search finds it, because rendering each of its beginnings would take minutes.
        """

        def is_refused(n: int) -> bool:
            try:
                self._engine.render(build(messages[:n]))
            except InvalidRequestError as refusal:
                return refusal.template_reason == error.template_reason
            return False

        beginnings = range(1, len(messages) + 1)
        if len(messages) <= _FEW_MESSAGES:
            found = next(filter(is_refused, beginnings), None)
        else:
            found = 1 + bisect.bisect_left(beginnings, True, key=is_refused)
        if found is None or found > len(messages):
            return error
        named = InvalidRequestError(
            f"message {found - 1} ({messages[found - 1].role}) is refused by the model's chat template: "
            f"{error.template_reason}"
        )
        named.message_index = found - 1
        named.template_reason = error.template_reason
        return named


def _forms(messages: Sequence[Message], build: BuildChat) -> Iterator[tuple[str, Sequence[Message]]]:
    ends_with_two = len(messages) > 1 and messages[-1].role == messages[-2].role == "assistant"
    if not ends_with_two or build(messages).is_part:  # else the answer continues the last one: they must be joined
        yield "", messages
    yield from other_forms(messages)


def _missing(texts: Mapping[int, str], prompt: str) -> list[int]:
    """Return the places of texts that are not in the prompt. Most templates keep their order."""
    missing = []
    at = 0
    for index, text in texts.items():
        found = prompt.find(text, at)
        if found < 0 and (found := prompt.find(text)) < 0:
            missing.append(index)
        else:
            at = found
    return missing


def _mark() -> str:
    return str(10**19 + secrets.randbelow(10**19))


def _ignored(index: int, message: Message) -> UnsupportedFeatureError:
    lost = UnsupportedFeatureError(
        f"message {index} ({message.role}) is ignored by the model's chat template; "
        + ("put it first, or send it as a user's" if is_system(message) else "send it as a user's")
    )
    lost.message_index = index
    return lost
