"""Everything that an adapter for a framework needs beside ``xlc_core``'s own names.

The adapters import from ``xlc_core`` and from here, and from no other part of the core; a test checks that. An adapter
for another framework can be built the same way (docs/frameworks.md).

* Adapters to derive from: EngineAdapter has the fields that name a model, and the engine behind them. GeneratorAdapter
  adds how a model samples, ChatFields what only chat models have; EmbedderAdapter adds the fields of an embedding
  model, ScorerAdapter those of a cross-encoder, RerankerAdapter those of a reranker.
* Models to hold, for frameworks whose classes are not pydantic's: HeldChat, HeldEmbedder and HeldReranker.
* Errors: raise_as turns ours into a framework's; find_counterpart looks up the class of one.
* Facts about a model that is not loaded yet: read_facts returns ModelFacts; model_identity, retrieval_prompt and
  default_model.
* Histories: read_chat and read_history read messages in the forms of all providers, provider_fields what frameworks
  store beside their content.
* Readers of what frameworks pass: as_sequence, to_tool_choice, decode_base64, model_as_text; require_single_answer
  refuses ``n`` above 1.
* Options by OpenAI's names: read_openai_options converts all of them, read_token_bias and thinking_options one each.
* Answers in OpenAI's form: openai_usage, openai_call, openai_finish_reason. read_arguments reads a call's.
* Schemas: read_response_format returns the constraint that a response format means, read_schema that of a type's
  schema, close_schema fits one to generation, require_all requires all properties, describe_schema shows one to the
  model.
* Texts of sections: sections_constraint returns the constraint for them; Section is one with its heading.
* JSON with a limit of nesting: to_json, from_json.
* Log-probabilities in OpenAI's form: chat_logprobs, completion_logprobs.
* Typed questions about a text, answered with probabilities by any model: decide_questions, adecide_questions.
* Probabilities of labels as the first token of an answer: label_probabilities.
* TextKind: "query" or "document".
"""

from xlc_core.constraints.reading import close_schema, require_all
from xlc_core.engine.model_facts import ModelFacts, read_facts
from xlc_core.frameworks.embedder_adapter import EmbedderAdapter, TextKind
from xlc_core.frameworks.engine_adapter import EngineAdapter, default_model, model_as_text
from xlc_core.frameworks.errors import find_counterpart, raise_as
from xlc_core.frameworks.generator_adapter import ChatFields, GeneratorAdapter, require_single_answer
from xlc_core.frameworks.held_models import HeldChat, HeldEmbedder, HeldReranker
from xlc_core.frameworks.histories import read_chat
from xlc_core.frameworks.logprobs import chat_logprobs, completion_logprobs
from xlc_core.frameworks.openai_answers import openai_call, openai_finish_reason, openai_usage, read_arguments
from xlc_core.frameworks.openai_options import read_openai_options, read_token_bias, thinking_options
from xlc_core.frameworks.reranker_adapter import RerankerAdapter, ScorerAdapter
from xlc_core.frameworks.schemas import describe_schema, read_response_format, read_schema
from xlc_core.frameworks.sections import Section, sections_constraint
from xlc_core.frameworks.typed_questions import adecide_questions, decide_questions
from xlc_core.generation.label_probabilities import label_probabilities
from xlc_core.generation.media import decode_base64
from xlc_core.generation.message_reading import provider_fields, read_history
from xlc_core.generation.tool_choice import to_tool_choice
from xlc_core.models.identity import model_identity
from xlc_core.models.prompts import retrieval_prompt
from xlc_core.nesting import from_json
from xlc_core.retrieval.splitting import as_sequence
from xlc_core.texts import to_json

__all__ = [
    "ChatFields",
    "EmbedderAdapter",
    "EngineAdapter",
    "GeneratorAdapter",
    "HeldChat",
    "HeldEmbedder",
    "HeldReranker",
    "ModelFacts",
    "RerankerAdapter",
    "ScorerAdapter",
    "Section",
    "TextKind",
    "adecide_questions",
    "as_sequence",
    "chat_logprobs",
    "close_schema",
    "completion_logprobs",
    "decide_questions",
    "decode_base64",
    "default_model",
    "describe_schema",
    "find_counterpart",
    "from_json",
    "label_probabilities",
    "model_as_text",
    "model_identity",
    "openai_call",
    "openai_finish_reason",
    "openai_usage",
    "provider_fields",
    "raise_as",
    "read_arguments",
    "read_chat",
    "read_facts",
    "read_history",
    "read_openai_options",
    "read_response_format",
    "read_schema",
    "read_token_bias",
    "require_all",
    "require_single_answer",
    "retrieval_prompt",
    "sections_constraint",
    "thinking_options",
    "to_json",
    "to_tool_choice",
]
