"""Models of a few hundred kilobytes with random weights, written when a test asks for one: for other vocabularies and
architectures than those of the real models at hand. What they say is noise, as a constraint's tests would have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

N_EMBD, N_LAYER, N_HEAD, N_FF = 64, 2, 4, 128


FIM_TOKENS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
FIM_FILE_TOKENS = ("<reponame>", "<|file_sep|>")

Weights = Mapping[str, npt.NDArray[np.float32]]


def write_byte_llama(
    path: Path,
    *,
    seed: int = 0,
    control: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    added: Weights | None = None,
    systemone: str | None = None,
    decision: str = "openjev",
    sampling: Mapping[str, float | int] | None = None,
    name: str = "",
    n_ctx: int = 2048,
    space_prefix: bool = True,
) -> Path:
    """Write a llama whose vocabulary is SentencePiece's 256 bytes and the letters, so that texts are long.

    Args:
        path: where to.
        seed: of the weights.
        control: more control tokens, at the end of the vocabulary.
        words: texts that are one token each, behind those.
        added: what is added to some of the weights, by their names.
        systemone: the template of a decision model.
        decision: its kind, as llama.cpp names it; one that needs no head of its own.
        sampling: settings of samplers that the file recommends, by llama.cpp's names.
        name: the model's name in the file.
        n_ctx: tokens that it was trained with.
        space_prefix: whether a space is put before a text.
    """
    pieces = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["▁", "▁a", "▁the", "th", "he"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *control, *words]
    kinds = [
        gguf.TokenType.UNKNOWN,
        gguf.TokenType.CONTROL,
        gguf.TokenType.CONTROL,
        *([gguf.TokenType.BYTE] * 256),
        *([gguf.TokenType.NORMAL] * len(pieces)),
        *([gguf.TokenType.CONTROL] * len(control)),
        *([gguf.TokenType.USER_DEFINED] * len(words)),
    ]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(N_LAYER)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(N_EMBD // N_HEAD)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(pieces))] + [0.0] * len((*control, *words)))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:")

    if systemone is not None:
        writer.add_string("llama.decision.type", decision)
        writer.add_string("tokenizer.chat_template.systemone", systemone)
        space_prefix = False  # a letter is one token then
    if not space_prefix:
        writer.add_add_space_prefix(False)

    for setting, value in (sampling or {}).items():
        add_value = writer.add_float32 if isinstance(value, float) else writer.add_int32
        add_value(f"general.sampling.{setting}", value)
    if name:
        writer.add_name(name)

    rng = np.random.default_rng(seed)

    def add(name: str, *shape: int) -> None:
        weights = rng.normal(0, 0.3, shape).astype(np.float32)
        writer.add_tensor(name, weights + added[name] if added and name in added else weights)

    add("token_embd.weight", len(tokens), N_EMBD)
    add("output.weight", len(tokens), N_EMBD)
    writer.add_tensor("output_norm.weight", np.ones(N_EMBD, np.float32))
    for layer in range(N_LAYER):
        block = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{norm}.weight", np.ones(N_EMBD, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}.weight", N_EMBD, N_EMBD)
        add(f"{block}.ffn_gate.weight", N_FF, N_EMBD)
        add(f"{block}.ffn_up.weight", N_FF, N_EMBD)
        add(f"{block}.ffn_down.weight", N_EMBD, N_FF)
    return _written(writer, path)


def random_pairs(*names: str, rank: int = 4, seed: int = 1) -> dict[str, tuple[npt.NDArray[np.float32], ...]]:
    """LoRA's A and B for square weights of the tiny llama, by their names."""
    rng = np.random.default_rng(seed)
    shapes = ((rank, N_EMBD), (N_EMBD, rank))
    return {name: tuple(rng.normal(0, 0.5, shape).astype(np.float32) for shape in shapes) for name in names}


def write_lora(
    path: Path,
    pairs: Mapping[str, tuple[npt.NDArray[np.float32], ...]],
    *,
    alpha: float = 8.0,
    architecture: str = "llama",
    general_type: str = "adapter",
) -> Path:
    """Write a LoRA adapter of these pairs of A and B."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(general_type)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    return _written(writer, path)


def write_control_vector(path: Path, directions: Mapping[int, npt.NDArray[np.float32]]) -> Path:
    """Write a control vector with these directions by layer."""
    writer = gguf.GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    for layer, direction in directions.items():
        writer.add_tensor(f"direction.{layer}", direction)
    return _written(writer, path)


def _written(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def with_metadata(
    source: Path,
    target: Path,
    *,
    tokenizer_of: Path | None = None,
    tensors: Mapping[str, npt.NDArray[np.generic]] | None = None,
    without: tuple[str, ...] = (),
    renamed: Mapping[str, str] | None = None,
    **fields: str | int | list[int] | None,
) -> Path:
    """Copy a model file with other values in its metadata.

    Args:
        source: the file.
        target: the copy.
        tokenizer_of: a file whose tokenizer is taken instead.
        tensors: other values for some of the weights.
        without: how the names of weights begin that are left out.
        renamed: other names for some of the weights.
        **fields: the values; a key has ``__`` for each point, None leaves it out.
    """
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    kept = dict(reader.fields)
    if tokenizer_of is not None:
        kept = {name: field for name, field in kept.items() if not name.startswith("tokenizer.")}
        given = gguf.GGUFReader(tokenizer_of).fields
        kept |= {name: field for name, field in given.items() if name.startswith("tokenizer.")}
    for name, field in kept.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name.replace(".", "__") in fields:
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(name, field.contents())
        else:
            writer.add_key_value(name, field.contents(), field.types[0])
    for key, value in fields.items():
        name = key.replace("__", ".")
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif value is not None:
            writer.add_array(name, value)
    for tensor in reader.tensors:
        if without and tensor.name.startswith(without):
            continue
        name = (renamed or {}).get(tensor.name, tensor.name)
        if tensors and tensor.name in tensors:
            writer.add_tensor(name, tensors[tensor.name])
        else:
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    return _written(writer, target)
