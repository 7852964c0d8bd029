"""XLlamaEmbedder: a GGUF embedding model inside this process, as the function of a ``dspy.Embedder``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xlc_core.frameworks import EmbedderAdapter, TextKind
from xlc_dspy.errors import DspyErrors, dspy_errors

__all__ = ["XLlamaEmbedder"]


class XLlamaEmbedder(DspyErrors, EmbedderAdapter):
    """Embeds texts with a GGUF model that llama.cpp runs inside this process.

    DSPy's cache tells two of them apart by their fields. It tells functions apart by their source, so that the
    methods ``embed`` of two engines would share their vectors there.

    Examples:
        >>> embedder = dspy.Embedder(XLlamaEmbedder(model="all-minilm-l6-v2"))
        >>> embedder(["What is a slot?"]).shape
        (1, 384)
    """

    def __call__(self, texts: list[str], *, kind: TextKind = "document") -> npt.NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: the texts.
            kind: ``"query"`` or ``"document"``: some models need different prompts before them.

        Returns:
            One row per text, float32.

        Raises:
            lm15.LM15Error: see ``xlc_dspy.errors``.
        """
        with dspy_errors():
            return self._get_engine().embed(texts, **self._embed_options(kind))
