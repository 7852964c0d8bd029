"""Names that users of other libraries type out of habit, and their counterparts here. Data only: hints.py reads it.

The names are those of OpenAI's client, Ollama, llama-cpp-python, llama.cpp's server, Hugging Face transformers,
sentence-transformers, vLLM, and the LangChain and LlamaIndex classes on top of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ENGINE_NAMES", "REQUEST_NAMES", "RETRIEVAL_NAMES", "ForeignName"]


@dataclass(frozen=True)
class ForeignName:
    """The counterpart of another library's name.

    Attributes:
        ours: the option or ``Engine``'s method to use instead; empty when there is nothing to set.
        value: turns the value that was given into the text of ours, or None when it cannot be said.
        note: further advice.
    """

    ours: str = ""
    value: Callable[[Any], str | None] | None = None
    note: str = ""


def _same(value: Any) -> str | None:
    simple = isinstance(value, (bool, int, float, str)) and len(repr(value)) <= 60
    return repr(value) if simple else None


def _count(value: Any) -> str | None:
    """A number of tokens, where -1 and -2 are other libraries' words for "no limit"."""
    if not isinstance(value, int):
        return None
    return "None" if value < 0 else repr(value)


def _schema(value: Any) -> str | None:
    """OpenAI's ``response_format`` and Ollama's ``format``."""
    if value in ("json", "json_object"):
        return "JsonObject()"
    if isinstance(value, Mapping):
        kind = value.get("type")
        if kind in ("json_object", "text"):
            return "JsonObject()" if kind == "json_object" else "None"
        return "JsonSchema(…)" if kind == "json_schema" or "properties" in value else None
    return value.__name__ if isinstance(value, type) else None


def _only_if_false(text: str) -> Callable[[Any], str | None]:
    return lambda value: text if value is False else None


def _seconds(value: Any) -> str | None:
    """Ollama's ``keep_alive``: seconds, or a text such as "5m"; below 0 for ever."""
    if isinstance(value, str):
        unit = {"s": 1, "m": 60, "h": 3600}.get(value[-1:])
        if unit is None or not value[:-1].lstrip("-").isdigit():
            return None
        value = int(value[:-1]) * unit
    return ("None" if value < 0 else repr(value)) if isinstance(value, (int, float)) and value else None


def _milliseconds(value: Any) -> str | None:
    return repr(round(value * 1000)) if isinstance(value, (int, float)) and value > 0 else None


def _layers(value: Any) -> str | None:
    if not isinstance(value, int):
        return _same(value)
    return "'all'" if value < 0 else repr(value)


def _choice(value: Any) -> str | None:
    """OpenAI's ``function_call``."""
    return repr(value["name"]) if isinstance(value, Mapping) and "name" in value else _same(value)


def _flash(value: Any) -> str | None:
    return repr("on" if value else "off") if isinstance(value, bool) else None


_MAX_TOKENS = ForeignName("max_tokens", _count)
_CONSTRAINT = ForeignName("constraint", _schema, "a type, JsonSchema, Regex, Choice, Gbnf or Lark")
_STOP = ForeignName("stop")
_STREAM = ForeignName("Engine.stream_chat", note="or stream_complete; a method always returns the same type")
_NO_SERVER = ForeignName(note="the model runs in this process and there is no server, so leave it out")
_LLAMA_ARGS = "pass llama.cpp's own flag in llama_args"
_FILE_DECIDES = ForeignName(
    "model", note="the weights' type is the file's; name a quantisation, as in 'hf:owner/repo:Q4_K_M'"
)
_SPECULATION = ForeignName("speculation", note="such as DraftModel('small-model') or Ngram()")
_SYSTEM = ForeignName(note="write it into a message with role 'system'")

REQUEST_NAMES: Mapping[str, ForeignName] = {
    # How long
    **dict.fromkeys(
        (
            *("num_predict", "n_predict", "max_new_tokens", "max_completion_tokens", "max_output_tokens"),
            *("max_gen_len", "max_gen_tokens", "num_tokens", "num_output"),
        ),
        _MAX_TOKENS,
    ),
    "max_length": ForeignName("max_tokens", note="it counts the answer's tokens only, not the prompt's"),
    "max_time": ForeignName("max_generation_ms", _milliseconds),
    "t_max_predict_ms": ForeignName("max_generation_ms", _same),
    **dict.fromkeys(("request_timeout", "timeout_s", "timeout_seconds"), ForeignName("timeout", _same)),
    **dict.fromkeys(("stop_sequences", "stop_strings", "stop_words", "stopping_criteria", "stops"), _STOP),
    "stop_token_ids": ForeignName("stop", note="as texts"),
    **dict.fromkeys(("min_tokens", "min_new_tokens", "min_length"), ForeignName("ignore_eos", note="with max_tokens")),
    **dict.fromkeys(("ban_eos_token", "skip_eos"), ForeignName("ignore_eos", _same)),
    # Which tokens
    "do_sample": ForeignName("temperature", _only_if_false("0"), "0 takes the likeliest token"),
    "temp": ForeignName("temperature", _same),
    "typ_p": ForeignName("typical_p", _same),
    "typical": ForeignName("typical_p", _same),
    "tfs_z": ForeignName(note="llama.cpp does not have tail-free sampling any more; min_p does much the same"),
    **dict.fromkeys(
        ("repetition_penalty", "penalty_repeat", "repeat_penality", "repetition_penality"),
        ForeignName("repeat_penalty", _same),
    ),
    **dict.fromkeys(("penalty_freq", "freq_penalty", "alpha_frequency"), ForeignName("frequency_penalty", _same)),
    **dict.fromkeys(("penalty_present", "alpha_presence", "presence"), ForeignName("presence_penalty", _same)),
    **dict.fromkeys(
        ("penalty_last_n", "repetition_context_size", "last_n_tokens_size"), ForeignName("repeat_last_n", _same)
    ),
    "mirostat_mode": ForeignName("mirostat", _same),
    "mirostat_entropy": ForeignName("mirostat_tau", _same),
    "mirostat_lr": ForeignName("mirostat_eta", _same),
    "min_tokens_to_keep": ForeignName("min_keep", _same),
    "dynamic_temperature": ForeignName("dynatemp_range"),
    **dict.fromkeys(("logits_processor", "logits_processors"), ForeignName("constraint", note="or logit_bias")),
    **dict.fromkeys(
        ("bad_words", "bad_words_ids", "suppress_tokens", "sequence_bias"),
        ForeignName("logit_bias", note="False bans a token or a text"),
    ),
    "random_seed": ForeignName("seed", _same),
    "num_keep": ForeignName("n_keep", _same),
    "no_repeat_ngram_size": ForeignName("dry_multiplier", note="DRY lowers the probability of repeated sequences"),
    **dict.fromkeys(
        ("epsilon_cutoff", "eta_cutoff", "penalty_alpha", "top_a"),
        ForeignName(note="llama.cpp does not have this sampler; min_p drops unlikely tokens"),
    ),
    **dict.fromkeys(
        ("penalize_newline", "penalize_nl"), ForeignName(note="llama.cpp does not treat new lines apart any more")
    ),
    **dict.fromkeys(
        ("eos_token_id", "pad_token_id", "bos_token_id", "skip_special_tokens"),
        ForeignName(note="the model's file decides it; leave it out"),
    ),
    # How many
    **dict.fromkeys(("best_of", "num_return_sequences", "num_completions"), ForeignName("n", _same)),
    **dict.fromkeys(
        ("num_beams", "num_beam_groups", "length_penalty", "early_stopping", "diversity_penalty"),
        ForeignName(note="llama.cpp does not have beam search; n returns several answers"),
    ),
    "prompt_logprobs": ForeignName(note="only generated tokens have log-probabilities, with logprobs"),
    "top_logprobs": ForeignName("logprobs", _same),
    "n_probs": ForeignName("logprobs", _same),
    "output_scores": ForeignName("logprobs"),
    # Format of the answer
    **dict.fromkeys(("response_format", "format"), _CONSTRAINT),
    **dict.fromkeys(
        (
            *("json_schema", "guided_json", "schema", "output_schema", "response_model", "response_schema"),
            *("structured_outputs", "structured_output", "guided_decoding", "json_mode", "constraints"),
        ),
        _CONSTRAINT,
    ),
    **dict.fromkeys(("grammar", "guided_grammar"), ForeignName("constraint", note="as Gbnf(text) or Lark(text)")),
    **dict.fromkeys(("regex", "guided_regex"), ForeignName("constraint", note="as Regex(pattern)")),
    **dict.fromkeys(("guided_choice", "choices"), ForeignName("constraint", note="as Choice('a', 'b')")),
    # Tools and thinking
    "functions": ForeignName("tools"),
    "function_call": ForeignName("tool_choice", _choice),
    **dict.fromkeys(("enable_thinking", "think", "reasoning"), ForeignName("thinking", _same)),
    **dict.fromkeys(
        ("reasoning_effort", "effort", "reasoning_budget", "budget_tokens", "thinking_token_budget"),
        ForeignName("thinking_budget", note="tokens that the model may think"),
    ),
    **dict.fromkeys(("chat_template_kwargs", "chat_template_args"), ForeignName("template_kwargs")),
    # Streams, prompts and the rest
    "stream": _STREAM,
    **dict.fromkeys(("streaming", "streamer", "on_token", "callback"), _STREAM),
    "stream_options": ForeignName(note="the last event of a stream always has the usage; leave it out"),
    "echo": ForeignName(note="the answer never repeats the prompt; put it in front yourself"),
    "suffix": ForeignName("Engine.infill", note="it takes the text before and after the gap"),
    **dict.fromkeys(("system", "system_prompt"), _SYSTEM),
    "add_generation_prompt": ForeignName(note="a chat that ends with an assistant's message is continued"),
    "continue_final_message": ForeignName(note="a chat that ends with an assistant's message is continued"),
    "raw": ForeignName("Engine.complete", note="it uses no chat template"),
    "options": ForeignName(note="pass its content as keyword arguments"),
    "extra_body": ForeignName(note="pass its content as keyword arguments"),
    **dict.fromkeys(("use_cache", "prompt_cache", "cache"), ForeignName("cache_prompt", _same)),
    **dict.fromkeys(
        (
            *("user", "metadata", "store", "service_tier", "extra_headers", "prompt_cache_key", "safety_identifier"),
            *("modalities", "audio", "prediction", "verbosity", "web_search_options"),
        ),
        ForeignName(note="it means nothing in this process; leave it out"),
    ),
    **dict.fromkeys(("assistant_model", "prompt_lookup_num_tokens", "draft_model"), _SPECULATION),
}

ENGINE_NAMES: Mapping[str, ForeignName] = {
    # Which model
    **dict.fromkeys(
        ("model_path", "model_name", "model_id", "model_file", "gguf", "pretrained_model_name_or_path", "model_url"),
        ForeignName("model", _same),
    ),
    **dict.fromkeys(
        ("repo_id", "filename", "hf_repo", "hf_file"), ForeignName("model", note="as 'hf:owner/repo:file'")
    ),
    **dict.fromkeys(
        ("dtype", "torch_dtype", "quantization", "load_in_4bit", "load_in_8bit", "quantization_config"), _FILE_DECIDES
    ),
    **dict.fromkeys(("clip_model_path", "chat_handler", "mmproj_path"), ForeignName("mmproj", _same)),
    **dict.fromkeys(("tokenizer", "tokenizer_mode", "trust_remote_code"), ForeignName(note="the model's file has it")),
    **dict.fromkeys(("base_url", "host", "port", "api_key"), _NO_SERVER),
    # Context
    **dict.fromkeys(
        (
            *("num_ctx", "ctx_size", "max_model_len", "max_seq_len", "max_seq_length", "max_position_embeddings"),
            *("context_length", "context_size", "context_window", "n_ctx_per_seq", "n_context"),
        ),
        ForeignName("n_ctx", _count),
    ),
    **dict.fromkeys(
        ("num_parallel", "max_num_seqs", "n_seq_max", "parallel", "n_slots", "num_slots"),
        ForeignName("n_parallel", _same),
    ),
    **dict.fromkeys(("num_batch", "batch_size", "max_num_batched_tokens"), ForeignName("n_batch", _same)),
    **dict.fromkeys(("ubatch_size", "micro_batch_size"), ForeignName("n_ubatch", _same)),
    "type_k": ForeignName("cache_type_k", note="by its name, such as 'q8_0'"),
    "type_v": ForeignName("cache_type_v", note="by its name, such as 'q8_0'"),
    **dict.fromkeys(
        ("kv_cache_dtype", "kv_cache_type", "cache_type"), ForeignName("cache_type_k", _same, "and cache_type_v")
    ),
    **dict.fromkeys(("cache_ram", "cache_capacity", "cache_size"), ForeignName("cache_ram_mib", note="in MiB")),
    **dict.fromkeys(("enable_prefix_caching", "prompt_cache"), ForeignName("cache_ram_mib", note="it is always on")),
    # Where it runs
    **dict.fromkeys(
        ("num_gpu", "gpu_layers", "ngl", "num_gpu_layers", "n_gpu", "gpu_offload"), ForeignName("n_gpu_layers", _layers)
    ),
    **dict.fromkeys(
        ("device_map", "use_gpu", "gpu", "enforce_eager"),
        ForeignName("device", note="'auto', 'cpu', 'cuda' or 'vulkan'; n_gpu_layers says how many layers go there"),
    ),
    **dict.fromkeys(("cpu_offload_gb", "swap_space"), ForeignName("n_gpu_layers", note="the other layers stay in RAM")),
    "gpu_memory_utilization": ForeignName("n_gpu_layers", note="'auto' loads as many layers as fit"),
    **dict.fromkeys(("tensor_parallel_size", "tensor_parallel"), ForeignName("split_mode", note="with tensor_split")),
    **dict.fromkeys(("num_thread", "num_threads", "threads", "cpu_threads"), ForeignName("n_threads", _same)),
    **dict.fromkeys(("threads_batch", "num_threads_batch"), ForeignName("n_threads_batch", _same)),
    **dict.fromkeys(("flash_attention", "use_flash_attention", "flash_attention_2"), ForeignName("flash_attn", _flash)),
    **dict.fromkeys(("mmap", "memory_map"), ForeignName("use_mmap", _same)),
    **dict.fromkeys(("mlock", "lock_memory"), ForeignName("use_mlock", _same)),
    "kv_unified_cache": ForeignName("kv_unified", _same),
    "keep_alive": ForeignName("sleep_after", _seconds, "in seconds"),
    # Abilities and additions
    "embedding": ForeignName(note="every engine embeds; leave it out"),
    "embeddings": ForeignName(note="every engine embeds; leave it out"),
    "pooling_type": ForeignName("pooling", note="by its name, such as 'mean'"),
    "chat_format": ForeignName("chat_template", note="the file brings its own, so it is seldom needed"),
    "template": ForeignName("chat_template", _same),
    "logits_all": ForeignName("logprobs", note="of a request, or leave it out"),
    "verbose": ForeignName(note="messages go to logging.getLogger('xllama'); set its level"),
    **dict.fromkeys(
        ("lora_path", "lora_adapters", "lora_modules", "enable_lora", "adapters", "lora_adapter"), ForeignName("lora")
    ),
    "lora_scale": ForeignName("lora", note="as a mapping of paths to scales"),
    "lora_base": ForeignName("model", note="the model that is opened is the base"),
    **dict.fromkeys(
        ("draft_model", "speculative_config", "speculative_model", "num_speculative_tokens", "num_draft_tokens"),
        _SPECULATION,
    ),
    **dict.fromkeys(("system", "system_prompt"), _SYSTEM),
    **dict.fromkeys(("hf_token", "token", "use_auth_token"), ForeignName(note="set the environment variable HF_TOKEN")),
    "rope_freq_base": ForeignName("llama_args", note="as '--rope-freq-base' and its value"),
    "rope_freq_scale": ForeignName("llama_args", note="as '--rope-freq-scale' and its value"),
    "rope_scaling_type": ForeignName("llama_args", note="as '--rope-scaling' and its value"),
    "numa": ForeignName("llama_args", note="as '--numa' and its value"),
    "kv_overrides": ForeignName("llama_args", note="as '--override-kv' and its value"),
    **dict.fromkeys(
        (
            *("yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_orig_ctx"),
            *("offload_kqv", "op_offload", "swa_full", "no_perf"),
        ),
        ForeignName("llama_args", note=_LLAMA_ARGS),
    ),
    **dict.fromkeys(
        ("f16_kv", "low_vram", "mul_mat_q", "vocab_only", "spm_infill"),
        ForeignName(note="llama.cpp decides it by itself; leave it out"),
    ),
}

RETRIEVAL_NAMES: Mapping[str, ForeignName] = {
    **dict.fromkeys(("normalize_embeddings", "normalise", "embd_normalize"), ForeignName("normalize", _same)),
    **dict.fromkeys(
        ("truncate_dim", "output_dimensionality", "dim", "dims", "matryoshka_dim", "n_dims"),
        ForeignName("dimensions", _same),
    ),
    **dict.fromkeys(("precision", "embedding_type", "encoding_format", "output_dtype"), ForeignName("dtype")),
    **dict.fromkeys(("show_progress_bar", "show_progress", "verbose"), ForeignName("progress", _same)),
    **dict.fromkeys(("truncation", "truncate_prompt_tokens", "max_length"), ForeignName("truncate", note="to 'end'")),
    **dict.fromkeys(("top_k", "k", "top_results", "n_results"), ForeignName("top_n", _same)),
    "return_documents": ForeignName(note="each RerankScore has the index of its document"),
    "batch_size": ForeignName("n_batch_retrieval", note="in tokens; the first texts tell which size is fastest"),
    "convert_to_numpy": ForeignName(note="the result is a NumPy array; leave it out"),
    "convert_to_tensor": ForeignName(note="the result is a NumPy array; torch.from_numpy() takes it"),
    **dict.fromkeys(
        ("input_type", "task_type", "task", "text_type"),
        ForeignName("prompt_name", note="'query' or 'document'"),
    ),
    **dict.fromkeys(
        ("prefix", "query_instruction", "text_instruction", "embed_instruction"), ForeignName("prompt", _same)
    ),
    **dict.fromkeys(("request_timeout", "timeout_s"), ForeignName("timeout", _same)),
}
