"""Measuring a model on this machine, and how much a setting gains."""

from __future__ import annotations

from xlc_core.benchmarking.speculation import measure_speculation
from xlc_core.benchmarking.speculation_report import Recommendation, SpeculationReport, SpeculationResult
from xlc_core.benchmarking.speculation_theory import VerifyCosts
from xlc_core.benchmarking.speed import SpeedFigure, SpeedReport, measure_speed

__all__ = [
    "Recommendation",
    "SpeculationReport",
    "SpeculationResult",
    "SpeedFigure",
    "SpeedReport",
    "VerifyCosts",
    "measure_speculation",
    "measure_speed",
]
