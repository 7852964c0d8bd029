"""A model's abilities as a LangChain profile, which agents and their middleware read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models.model_profile import ModelProfile

if TYPE_CHECKING:
    from xlc_core import ModelInfo
    from xlc_core.frameworks import ModelFacts

__all__ = ["to_profile"]


def to_profile(name: str, facts: ModelInfo | ModelFacts, *, follows_links: bool = False) -> ModelProfile:
    """Return the profile of a model.

    Tools, their choice and schemas are enforced while tokens are sampled, for every model that has a chat template.

    Args:
        name: the model's name.
        facts: what its file says, or the engine that has it open.
        follows_links: whether links to media are fetched.

    Returns:
        The profile. ``max_input_tokens`` is what one request may hold, prompt and answer together.
    """
    chats = facts.has_chat_template
    sees = "image" in facts.reads
    profile: dict[str, Any] = {
        "name": name,
        "open_weights": True,
        "max_input_tokens": facts.n_ctx,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": sees,
        "image_url_inputs": sees and follows_links,
        "image_tool_message": sees,
        "image_outputs": False,
        "audio_inputs": "audio" in facts.reads,
        "audio_outputs": False,
        "video_inputs": "video" in facts.reads,
        "video_outputs": False,
        "pdf_inputs": False,
        "pdf_tool_message": False,
        "attachment": bool(facts.reads),
        "reasoning_output": facts.supports_thinking,
        "tool_calling": chats,
        "tool_choice": chats,
        "tool_call_streaming": chats,
        "structured_output": chats,
        "mid_conversation_system_messages": chats,
        "temperature": True,
    }
    # An older langchain-core warns about names that it does not know.
    known = ModelProfile.__annotations__.keys()
    return cast("ModelProfile", {key: value for key, value in profile.items() if key in known})
