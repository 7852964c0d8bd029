"""Measuring how much a setting gains on this machine with a model."""

from __future__ import annotations

from xlc_core.benchmarking.speculation import measure_speculation
from xlc_core.benchmarking.speculation_report import Recommendation, SpeculationReport, SpeculationResult
from xlc_core.benchmarking.speculation_theory import VerifyCosts

__all__ = ["Recommendation", "SpeculationReport", "SpeculationResult", "VerifyCosts", "measure_speculation"]
