"""TypedAdapter: answers that are constrained to the output fields of a signature."""

from __future__ import annotations

import functools
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from xlc_core import ConstraintError, JsonSchema
from xlc_dspy.requests import OUTPUTS

__all__ = ["TypedAdapter", "as_declared", "check_values", "type_of"]


class TypedAdapter(dspy.JSONAdapter):
    """DSPy's JSONAdapter under a constraint made of the output fields, so that an answer always parses.

    Messages, demos and field markers are JSONAdapter's. Unlike there, all types are constrained, also open mappings,
    limits such as ``ge=1``, patterns and recursive models; the answer is read by the same types; and fields that the
    model answers natively, as calls or as thinking, are not asked for twice.

    A language model that does not take schemas gets what JSONAdapter would send.

    Examples:
        >>> dspy.configure(lm=xlc_dspy.lm("smollm2-135m-instruct"), adapter=xlc_dspy.TypedAdapter())
        >>> dspy.Predict("review -> stars: int")(review="Five out of five!").stars
        5
    """

    def _prepare_response_format(self, lm: dspy.BaseLM, lm_kwargs: dict[str, Any], signature: Any) -> None:
        """Leave the format to _call_preprocess, which knows the fields that are not answered natively."""

    def _call_preprocess(
        self, lm: dspy.BaseLM, lm_kwargs: dict[str, Any], signature: Any, inputs: dict[str, Any]
    ) -> Any:
        asked = super()._call_preprocess(lm, lm_kwargs, signature, inputs)
        if asked.output_fields:
            self._constrain(lm, lm_kwargs, asked)
        return asked

    def _constrain(self, lm: dspy.BaseLM, lm_kwargs: dict[str, Any], signature: Any) -> None:
        if "response_format" in lm.supported_params and lm.supports_response_schema:
            try:
                lm_kwargs["response_format"] = _response_format(signature)
            except (ConstraintError, PydanticUserError):  # a type without a schema
                super()._prepare_response_format(lm, lm_kwargs, signature)
        else:
            super()._prepare_response_format(lm, lm_kwargs, signature)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read an answer by the types of the output fields.

        Args:
            signature: the signature.
            completion: the answer's text.

        Returns:
            The values of the fields.

        Raises:
            AdapterParseError: a validator of a type refuses the answer, or it comes from another language model.
        """
        try:
            values = _answer_type(signature).validate_json(completion)
        except ValidationError:
            return check_values("TypedAdapter", signature, completion, super().parse(signature, completion))
        return {name: as_declared(values[name], field) for name, field in signature.output_fields.items()}


# StreamListener finds the format of an answer by this name.
TypedAdapter.__name__ = "JSONAdapter"


def check_values(adapter: str, signature: Any, completion: str, values: dict[str, Any]) -> dict[str, Any]:
    """Check what DSPy has read leniently: it leaves out limits and validators.

    Args:
        adapter: the name of the adapter, for the error.
        signature: the signature.
        completion: the answer's text, for the error.
        values: the values of the fields, which are replaced.

    Raises:
        AdapterParseError: a type refuses a value.
    """
    for name, field in signature.output_fields.items():
        try:
            values[name] = TypeAdapter(field.rebuild_annotation()).validate_python(values[name])
        except ValidationError as error:
            reason = f"{name}: {error}"
            raise AdapterParseError(adapter, signature, completion, reason, values) from error
    return values


@functools.lru_cache(maxsize=256)
def _answer_type(signature: Any) -> TypeAdapter[dict[str, Any]]:
    """Return the type of an answer."""
    fields = {name: type_of(field) for name, field in signature.output_fields.items()}
    return TypeAdapter(TypedDict(OUTPUTS, fields))  # type: ignore[operator]


@functools.lru_cache(maxsize=256)
def _response_format(signature: Any) -> dict[str, Any]:
    schema = JsonSchema(_answer_type(signature)).schema
    return {"type": "json_schema", "json_schema": {"name": OUTPUTS, "schema": schema, "strict": True}}


def type_of(field: Any) -> Any:
    """Return a field's type with its limits. DSPy shows reasoning to the model as a text."""
    return str if field.annotation is dspy.Reasoning else field.rebuild_annotation()


def as_declared(value: Any, field: Any) -> Any:
    """Return a value of type_of as the field's own type."""
    return dspy.Reasoning(content=value) if field.annotation is dspy.Reasoning else value
