"""An engine's chat template, and the settings of a request."""

from __future__ import annotations

import json
from typing import Any

from typing_extensions import Unpack

from xlc_core.engine.base import EngineBase
from xlc_core.engine.chat_templates import read_chat_template
from xlc_core.options.kwargs import CompletionKwargs
from xlc_core.options.sampling import CompletionOptions

__all__ = ["DescriptionMethods"]


class DescriptionMethods(EngineBase):
    """Engine's methods that describe it."""

    @property
    def chat_template(self) -> str:
        """The template of chats: Jinja text, or a name that llama.cpp knows; empty without one."""
        return read_chat_template(self.options.chat_template) or self._file.chat_template

    def request_settings(self, **options: Unpack[CompletionKwargs]) -> dict[str, Any]:
        """Return llama.cpp's settings for a request with these options. Nothing is run.

        They have llama.cpp's names (``n_predict``, ``samplers``, ``dry_base``…), with the defaults of llama.cpp and
        the recommendations of the model's file for all that the options leave open.

        Args:
            **options: fields of CompletionOptions.

        Raises:
            InvalidRequestError: an option is wrong.
            UnsupportedFeatureError: the model does not generate text.
        """
        request = self._requests.completion("a", CompletionOptions.checked(**options))
        settings: dict[str, Any] = json.loads(self._native.task_settings(request.native))
        return settings
