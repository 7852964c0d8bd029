"""Tokenizers, as in llama-cpp-python."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlc_core.compat.llama_cpp.base import LlamaBase

__all__ = ["BaseLlamaTokenizer", "LlamaHFTokenizer", "LlamaTokenizer"]


class BaseLlamaTokenizer(abc.ABC):
    """Base of tokenizers that ``Llama(tokenizer=…)`` takes."""

    @abc.abstractmethod
    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: the text in UTF-8.
            add_bos: add the tokens that the model needs at the start and end of a prompt.
            special: turn names of control tokens into these tokens.
        """

    @abc.abstractmethod
    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Return the bytes of tokens.

        Args:
            tokens: the tokens.
            prev_tokens: tokens before them, for tokenizers whose texts depend on these; None: none.
            special: include the names of control tokens.
        """


class LlamaTokenizer(BaseLlamaTokenizer):
    """The model's own tokenizer.

    Args:
        llama: the model.
    """

    def __init__(self, llama: LlamaBase) -> None:
        self._vocabulary = llama.vocabulary

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:  # noqa: D102
        return self._vocabulary.tokenize(text, add_special=add_bos, parse_special=special)

    def detokenize(  # noqa: D102
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        output = self._vocabulary.detokenize(tokens, special=special)
        starts = len(tokens) > 0 and tokens[0] == self._vocabulary.bos
        return output[1:] if starts and output[:1] == b" " else output

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> list[int]:
        """Return the tokens of a text; see tokenize."""
        return self.tokenize(text.encode("utf-8", "ignore"), add_bos, special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; bytes that are not UTF-8 are left out.

        Args:
            tokens: the tokens.
        """
        return self.detokenize(tokens).decode("utf-8", "ignore")


class LlamaHFTokenizer(BaseLlamaTokenizer):
    """A tokenizer of the package transformers.

    Args:
        hf_tokenizer: the tokenizer.
    """

    def __init__(self, hf_tokenizer: Any) -> None:
        self.hf_tokenizer = hf_tokenizer

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:  # noqa: D102
        return list(self.hf_tokenizer.encode(text.decode("utf-8", "ignore"), add_special_tokens=special))

    def detokenize(  # noqa: D102
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        before = list(prev_tokens or ())
        return self._decode([*before, *tokens], special)[len(self._decode(before, special)) :]

    def _decode(self, tokens: list[int], special: bool) -> bytes:
        text = self.hf_tokenizer.decode(tokens, skip_special_tokens=not special)
        return str(text).encode("utf-8", "ignore")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str) -> LlamaHFTokenizer:
        """Return the tokenizer of a model in the form of transformers.

        Raises:
            ImportError: transformers is not installed.
        """
        from transformers import AutoTokenizer

        return cls(AutoTokenizer.from_pretrained(pretrained_model_name_or_path))
