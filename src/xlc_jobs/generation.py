"""An answer, or a label, for each row's prompt."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from typing_extensions import Unpack

from xlc_core import (
    ChatKwargs,
    ChatOptions,
    Choice,
    Completion,
    CompletionOptions,
    Constraint,
    ConstraintError,
    Engine,
    InvalidRequestError,
    JsonSchema,
    UnsupportedFeatureError,
)
from xlc_core.texts import show_value
from xlc_jobs.columns import Column, Texts, is_missing, read_text
from xlc_jobs.worker import Failure, Worker, failures

__all__ = ["Classify", "Generate"]


class Generate(Worker):
    """Adds an answer to each row's prompt.

    The rows of a batch, and of the next one if a second thread calls the worker, wait for the engine's slots together,
    so that all slots work until the last rows.
    """

    kind: ClassVar[str] = "generate"

    def __init__(
        self,
        model: str | Path,
        *,
        column: str = "prompt",
        output: str = "answer",
        error_column: str | None = None,
        mode: Literal["chat", "completion"] = "chat",
        system: str | None = None,
        constraint_column: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **options: Unpack[ChatKwargs],
    ) -> None:
        """Check the options; nothing is loaded.

        Args:
            model: a name of the catalog, ``hf:owner/repo[:quant-or-file]``, or a path.
            column: the column of prompts: a text, the user's message of a chat; or a list of messages in OpenAI's form.
            output: the column of answers. ``…_finish_reason``, ``…_prompt_tokens`` and ``…_completion_tokens`` are
                added too.
            error_column: the column of errors; None: ``output`` and ``_error``.
            mode: ``chat`` answers with the model's chat template; ``completion`` continues a text.
            system: the system message of chats whose prompt is a text; None: without one.
            constraint_column: a column of constraints: JSON text, a list of texts to choose from or else a JSON schema;
                None where ``constraint`` of the options applies.
            engine_options: fields of EngineOptions; None: their defaults.
            **options: fields of ChatOptions: ``max_tokens``, ``temperature``, ``constraint``, ``seed``… For
                ``completion`` those of CompletionOptions. Without a ``seed``, a row that is computed again after a
                crash gets another answer, unless ``temperature`` is 0.

        Raises:
            InvalidRequestError: an option is unknown or out of range.
        """
        super().__init__(model, output=output, error_column=error_column, engine_options=engine_options)
        if mode not in ("chat", "completion"):
            raise InvalidRequestError(f"mode must be 'chat' or 'completion', got {show_value(mode)}")
        if mode == "completion" and system is not None:
            raise InvalidRequestError("a completion does not have a system message; leave out system")
        self.column = column
        self.mode = mode
        self.system = system
        self.constraint_column = constraint_column
        self.options = (ChatOptions if mode == "chat" else CompletionOptions).checked(**options)
        self._options: dict[str, Any] = dict(options)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of prompts and of constraints."""
        return (self.column, *([self.constraint_column] if self.constraint_column else []))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns of answers, of how they ended, of tokens and of errors."""
        names = (f"{self.output}_{name}" for name in ("finish_reason", "prompt_tokens", "completion_tokens"))
        return (self.output, *names, self.error_column)

    def _check_engine(self, engine: Engine) -> None:
        if not engine.info.can_generate:
            raise UnsupportedFeatureError(f"{engine.info.name!r} cannot generate text; use a chat model")
        if self.mode == "chat" and not engine.info.has_chat_template:
            raise UnsupportedFeatureError(f"{engine.info.name!r} does not have a chat template; use mode='completion'")

    def _columns(self, rows: Sequence[Any]) -> dict[str, Column]:
        results = self._each(self._answer, rows)
        done = [None if isinstance(result, Failure) else result for result in results]
        columns: tuple[Column, ...] = (
            Texts([result and result.text for result in done]),
            Texts([result and result.finish_reason for result in done]),
            Texts([result and result.usage.prompt_tokens for result in done], "integer"),
            Texts([result and result.usage.completion_tokens for result in done], "integer"),
            failures(results),
        )
        return dict(zip(self.outputs, columns, strict=True))

    def _answer(self, row: Sequence[Any]) -> Completion:
        prompt, *others = row
        options = dict(self._options)
        if others and (constraint := _read_constraint(others[0])) is not None:
            options["constraint"] = constraint
        if self.mode == "completion":
            return self.engine.complete(read_text(prompt, "the prompt"), **options)
        return self.engine.chat(self._messages(prompt), **options)

    def _messages(self, prompt: Any) -> list[Any]:
        if isinstance(prompt, (list, tuple)):
            # A table has every field in every row, and null where a message does not have it.
            return [_without_nulls(message) for message in prompt]
        messages = [{"role": "user", "content": read_text(prompt, "the prompt")}]
        return messages if self.system is None else [{"role": "system", "content": self.system}, *messages]


class Classify(Generate):
    """Adds a label to each row's text: a chat model chooses one of the given labels, and cannot answer otherwise."""

    kind: ClassVar[str] = "classify"

    def __init__(
        self,
        model: str | Path,
        labels: Sequence[str],
        *,
        column: str = "text",
        output: str = "label",
        error_column: str | None = None,
        instruction: str = "Classify the text. Answer with one of these labels only:",
        engine_options: Mapping[str, Any] | None = None,
        **options: Unpack[ChatKwargs],
    ) -> None:
        """Check the options; nothing is loaded.

        Args:
            model: a chat model: a name of the catalog, ``hf:owner/repo[:quant-or-file]``, or a path.
            labels: the labels, at least two.
            column: the column of texts.
            output: the column of labels; other columns as those of Generate.
            error_column: the column of errors; None: ``output`` and ``_error``.
            instruction: the system message, which the labels follow.
            engine_options: fields of EngineOptions; None: their defaults.
            **options: fields of ChatOptions; ``temperature`` is 0 unless it is given.

        Raises:
            InvalidRequestError: an option is unknown or out of range, or there are too few labels.
        """
        labels = [labels] if isinstance(labels, str) else list(labels)
        if len(set(labels)) < 2:
            raise InvalidRequestError(f"labels takes at least two different texts, got {show_value(labels)}")
        chosen: Any = {"temperature": 0.0, **options, "constraint": Choice(*labels)}
        super().__init__(
            model,
            column=column,
            output=output,
            error_column=error_column,
            system="\n".join([instruction, *(f"- {label}" for label in labels)]),
            engine_options=engine_options,
            **chosen,
        )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _read_constraint(value: Any) -> Constraint | None:
    if is_missing(value):
        return None
    return JsonSchema(dict(value)) if isinstance(value, Mapping) else _parsed(read_text(value, "the constraint"))


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Constraint:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConstraintError(f"the constraint is not JSON: {error}; got {show_value(text)}") from None
    return Choice(*value) if isinstance(value, list) else JsonSchema(value)
