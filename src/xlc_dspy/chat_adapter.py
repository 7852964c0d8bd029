"""TypedChatAdapter: answers in DSPy's field markers that are constrained to the output fields of a signature."""

from __future__ import annotations

import enum
import functools
import re
from typing import Any, Literal, get_args, get_origin

import dspy
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from xlc_core import ConstraintError, JsonSchema, Lark
from xlc_core.frameworks import Section, sections_constraint
from xlc_dspy.adapter import TypedAdapter, as_declared, check_values, type_of
from xlc_dspy.requests import GRAMMAR

__all__ = ["TypedChatAdapter"]

_MARK = "[[ ##"
_HEADER = re.compile(r"^\[\[ ## (\w+) ## \]\]$", re.MULTILINE)


class TypedChatAdapter(dspy.ChatAdapter):
    """DSPy's ChatAdapter under a constraint made of the output fields, so that an answer always parses.

    Messages, demos and field markers are ChatAdapter's. The markers come in the order of the fields, and each value
    matches its type: texts, enums, literals and booleans as they are, all else as JSON. Where a validator of your own
    refuses an answer, the model is asked again with TypedAdapter, unless ``use_json_adapter_fallback`` is False.

    A language model without such constraints gets what ChatAdapter would send, and so does every one beside tools that
    are called natively (``use_native_function_calling``); TypedAdapter enforces its schema there too.

    Examples:
        >>> dspy.configure(lm=xlc_dspy.lm("smollm2-135m-instruct"), adapter=xlc_dspy.TypedChatAdapter())
        >>> dspy.Predict("review -> stars: int")(review="Five out of five!").stars
        5
    """

    def _make_json_adapter_fallback(self) -> TypedAdapter:
        return TypedAdapter(
            use_native_function_calling=self.use_native_function_calling,
            parallel_tool_calls=self.parallel_tool_calls,
        )

    def _call_preprocess(
        self, lm: dspy.BaseLM, lm_kwargs: dict[str, Any], signature: Any, inputs: dict[str, Any]
    ) -> Any:
        asked = super()._call_preprocess(lm, lm_kwargs, signature, inputs)
        can_be_enforced = asked.output_fields and GRAMMAR in lm.supported_params and not lm_kwargs.get("tools")
        if can_be_enforced and (constraint := _constraint(asked)) is not None:
            schema = {GRAMMAR: constraint.text, "text_ends": list(constraint.text_ends)}
            described = {"name": GRAMMAR, "schema": schema}
            lm_kwargs["response_format"] = {"type": "json_schema", "json_schema": described}
        return asked

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read an answer by its markers and the types of the output fields.

        It has the arguments and errors of TypedAdapter.parse.

        Returns:
            The values of the fields.
        """
        _, *found = _HEADER.split(completion)
        texts = dict(zip(found[::2], found[1::2], strict=True))
        try:
            readers = _readers(signature)
            return {name: _read(field, texts[name], *readers[name]) for name, field in signature.output_fields.items()}
        except (KeyError, ValidationError, ConstraintError, PydanticUserError):
            return check_values("TypedChatAdapter", signature, completion, super().parse(signature, completion))


# StreamListener finds the format of an answer by this name.
TypedChatAdapter.__name__ = "ChatAdapter"


@functools.lru_cache(maxsize=256)
def _constraint(signature: Any) -> Lark | None:
    """Return the constraint; None for a type without a schema."""
    try:
        sections = [_section(name, field) for name, field in signature.output_fields.items()]
        constraint = sections_constraint(sections, f"{_MARK} completed ## ]]", excluded=_MARK)
        constraint.check()
    except (ConstraintError, PydanticUserError):
        return None
    return constraint


def _section(name: str, field: Any) -> Section:
    heading = f"{_MARK} {name} ## ]]\n"
    if choices := _choices(field.annotation):
        return Section(heading, choices=tuple(choices))
    return Section(heading, JsonSchema(type_of(field)).text)


def _choices(annotation: Any) -> dict[str, Any]:
    """Return the values of a type that lists them, by the texts that DSPy writes for them; nothing for others."""
    if annotation is bool:
        return {"True": True, "False": False}
    if isinstance(annotation, enum.EnumMeta):
        members: list[enum.Enum] = list(annotation)
        return _readable({str(member.value): member for member in members})
    if get_origin(annotation) is Literal:
        return _readable({str(value): value for value in get_args(annotation)})
    return {}


def _readable(choices: dict[str, Any]) -> dict[str, Any]:
    """Return choices if each is a line that is found again in an answer, else none."""
    found = all(text == text.strip() and len(text.splitlines()) == 1 and _MARK not in text for text in choices)
    return choices if found else {}


@functools.lru_cache(maxsize=256)
def _readers(signature: Any) -> dict[str, tuple[TypeAdapter[Any], bool]]:
    """Return the type of each output field, and whether its values are written as they are."""
    fields = signature.output_fields.items()
    return {name: (TypeAdapter(type_of(field)), _section(name, field).is_plain) for name, field in fields}


def _read(field: Any, text: str, reader: TypeAdapter[Any], is_plain: bool) -> Any:
    """Return the value of a field.

    Raises:
        KeyError: it is not one of the choices.
        ValidationError: it is not of the field's type.
    """
    if choices := _choices(field.annotation):
        return choices[text.strip()]
    if not is_plain:
        return as_declared(reader.validate_json(text), field)
    try:
        value = reader.validate_python(text.strip())
    except ValidationError:  # white space may be a part of it, such as of a text with a least length
        value = reader.validate_python(text.removeprefix("\n").removesuffix("\n\n"))
    return as_declared(value, field)
