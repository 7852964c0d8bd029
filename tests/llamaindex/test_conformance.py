"""Our classes pass the conformance suites whole."""

from __future__ import annotations

import pytest

from llamaindex.conformance import LLMConformance
from xlc_llamaindex import XLlama


class TestXLlama(LLMConformance):
    @pytest.fixture
    def llm(self, llm: XLlama) -> XLlama:
        return llm
