"""A model's tokens: their bytes and attributes, and those with a meaning of their own."""

from __future__ import annotations

from collections.abc import Sequence

from xlc_core.compat.llama_cpp.metadata import read_metadata
from xlc_core.engine.engine import Engine

__all__ = ["Vocabulary"]

_ATTRIBUTES = {1: 1 << 2, 2: 1 << 0, 3: 1 << 3, 4: 1 << 4, 5: 1 << 1, 6: 1 << 5}
"""llama.cpp's attribute for each type of token in a file."""

_DEFAULT_IDS = {"llama": {"bos": 1, "eos": 2}, "gpt2": {"bos": 11, "eos": 11}, "bert": {"bos": 101, "eos": 102}}
"""llama.cpp's tokens for a file that does not name them, by the kind of its vocabulary."""

_END_NAMES = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "</s>"),
    *("<|eom_id|>", "<|return|>", "<|call|>", "_<EOT>", "[EOS]", "[EOT]", "<eos>", "<turn|>"),
)
"""Control tokens with which llama.cpp ends an answer, whatever the file says of them."""


class Vocabulary:
    """The tokens of an engine's model.

    Args:
        engine: the engine, which stays open as long as this object is used.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metadata, self._types = read_metadata(engine.info.path)
        self._first_ids: dict[bytes, int] = {}
        self.n_tokens = engine.info.n_vocab
        self.bos = self._special_id("bos")
        self.eos = self._special_id("eos")
        self.adds_bos = engine.tokenize("", add_special=True)[:1] == [self.bos]

    def _special_id(self, name: str) -> int:
        """Return the number of a token that the file names; -1 if it does not."""
        default = _DEFAULT_IDS.get(self.metadata.get("tokenizer.ggml.model", ""), {}).get(name, -1)
        token = int(self.metadata.get(f"tokenizer.ggml.{name}_token_id", default))
        return token if token < self.n_tokens else -1

    def newline(self) -> int:
        """Return the token of a new line; -1 if the model does not have one."""
        return (self._engine.tokenize("\n") or [-1])[-1]

    def ends(self) -> frozenset[int]:
        """Return the tokens that end an answer."""
        named = (self.eos, self._special_id("eot"), self._special_id("eom"))
        spelled = (self._engine.tokenize(name, parse_special=True) for name in _END_NAMES)
        return frozenset({*named, *(ids[0] for ids in spelled if len(ids) == 1)} - {-1})

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the tokens of a text in UTF-8.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        return self._engine.tokenize(text.decode(), add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """Return the bytes of tokens, each as it is in the middle of a text."""
        before = self._engine.token_bytes([0], special=special)  # takes the space that a text would lose at its start
        return self._engine.token_bytes([0, *tokens], special=special)[len(before) :]

    def same_bytes(self, token: int) -> int:
        """Return the first token with the bytes of a token."""
        if not self._first_ids:
            for other in reversed(range(self.n_tokens)):
                self._first_ids[self.detokenize([other], special=True)] = other
        return self._first_ids[self.detokenize([token], special=True)]

    def attributes(self, token: int) -> int:
        """Return llama.cpp's attributes of a token, such as control or byte."""
        return _ATTRIBUTES.get(self._types[token], 0) if token < len(self._types) else 0

    def prompt_text(self, tokens: Sequence[int]) -> str | None:
        """Return the text that the engine reads as these tokens of a prompt; None if such a text does not exist."""
        given = list(tokens)
        if self.adds_bos:
            if given[:1] != [self.bos]:
                return None
            given = given[1:]
        try:
            text = self._engine.token_bytes(given, special=True).decode()
        except UnicodeDecodeError:
            return None
        return text if self._engine.tokenize(text, add_special=True, parse_special=True) == list(tokens) else None
