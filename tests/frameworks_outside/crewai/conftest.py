"""CrewAI without its telemetry, and LiteLLM without its list of prices. Both read this when they are imported."""

from __future__ import annotations

import os
import warnings

os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["OTEL_SDK_DISABLED"] = "true"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Python, about CrewAI's module that refuses attributes
    import crewai  # noqa: F401
