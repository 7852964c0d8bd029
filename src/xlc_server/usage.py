"""Numbers of tokens in OpenAI's form."""

from xlc_core.frameworks import openai_usage as to_usage

__all__ = ["to_usage"]
