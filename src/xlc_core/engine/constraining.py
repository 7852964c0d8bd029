"""The engine's methods that check texts against constraints, without running the model."""

from __future__ import annotations

from typing import Any

from xlc_core._native import Explanation
from xlc_core.constraints.conversion import to_constraint
from xlc_core.engine.base import EngineBase
from xlc_core.texts import check_text

__all__ = ["ConstraintMethods"]


class ConstraintMethods(EngineBase):
    """Engine's methods that check texts."""

    def accepts(self, constraint: Any, text: str) -> bool:
        """Return whether a text satisfies a constraint, in this model's tokens, without running the model.

        A constraint is compiled when it is first used, which takes milliseconds; the first one of an engine also
        prepares its vocabulary, which takes some tenths of a second. ``Constraint.accepts`` does the same byte by byte,
        without an engine.

        Args:
            constraint: as the option ``constraint``.
            text: the whole answer; JSON may have any white space.

        Raises:
            ConstraintError: the constraint is malformed or unsupported, or no text satisfies it.
            InvalidRequestError: ``text`` is not a text, or holds a lone surrogate.
            UnsupportedFeatureError: the package llguidance is not installed.
        """
        checked = to_constraint(constraint)
        checked.check()
        return self._native.accepts(*checked.checking_grammar(), check_text(text, "the text"))

    def explain(self, constraint: Any, text: str) -> Explanation:
        """Return where a text violates a constraint, and which of this model's tokens were allowed there.

        It has the arguments and errors of accepts.

        Returns:
            ``accepted``, ``complete``, ``n_bytes`` of the text in UTF-8 that are allowed, and up to 64 ``expected``
            tokens as bytes; none if the text is accepted.
        """
        checked = to_constraint(constraint)
        checked.check()
        return self._native.explain(*checked.checking_grammar(), check_text(text, "the text"))
