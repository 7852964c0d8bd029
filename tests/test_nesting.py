"""JSON from outside has a limit of nesting."""

from __future__ import annotations

import json
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.nesting import MAX_JSON_DEPTH, check_json_depth, from_json
from xlc_core.texts import to_json


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [MAX_JSON_DEPTH + 1, 900, 100_000])
def test_deep_values_and_texts_are_refused(levels: int) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="the thing has more than 128 lists"):
        to_json(nested(levels), "the thing")
    with pytest.raises(xlc.InvalidRequestError, match="the thing has more than 128 lists"):
        check_json_depth('{"x": ' + "[" * levels, "the thing")


def test_values_up_to_limit_are_written() -> None:
    assert json.loads(to_json(nested(MAX_JSON_DEPTH), "it")) == nested(MAX_JSON_DEPTH)


def test_brackets_in_strings_and_side_by_side_do_not_count() -> None:
    wide = json.dumps([["[" * 500, '"' + "[" * 500]] * 300)
    assert check_json_depth(wide, "it") == wide


def test_deep_answer_is_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json("[" * 100_000 + "]" * 100_000)


def test_deep_wrong_values_are_shown_in_errors() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="max_tokens: must be an integer, got a value of type list"):
        xlc.CompletionOptions.checked(max_tokens=nested(100_000))
