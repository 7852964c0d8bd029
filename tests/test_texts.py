"""Texts and tokens are checked before native code sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from xlc_core.texts import check_text, check_tokens


@pytest.mark.parametrize(("text", "reason"), [(5, "must be a text, not int"), ("a\ud800", "lone surrogate")])
def test_wrong_text_is_named(text: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=f"the prompt .*{reason}"):
        check_text(text, "the prompt")


def test_tokens_may_be_numpys() -> None:
    assert check_tokens(np.array([1, 2])) == [1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [2**31, -(2**40), 2**70, 0.5, "a", None])
def test_wrong_token_is_named(token: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="there is no token"):
        check_tokens([1, token])
