"""Models in several GGUF files, as publishers split large ones."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFReader, GGUFValueType, GGUFWriter

__all__ = ["split_model"]


def split_model(source: Path, folder: Path, *, name: str = "model", n_parts: int = 2, last: str = "cls") -> Path:
    """Write a model in several parts; return the path of the first.

    Args:
        source: the whole model.
        folder: where to.
        name: of the files, before ``-00001-of-00002.gguf``.
        n_parts: how many parts, or one less.
        last: the start of the names of tensors that come last, so that they are not in the first part.
    """
    reader = GGUFReader(source)
    tensors = sorted(reader.tensors, key=lambda tensor: tensor.name.startswith(last))
    most = -(-len(tensors) // n_parts)
    writer = GGUFWriter(folder / f"{name}.gguf", _text(reader, "general.architecture"), split_max_tensors=most)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0] == GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (first,) = folder.glob(f"{name}-00001-of-*.gguf")
    return first


def _text(reader: GGUFReader, key: str) -> str:
    return str(reader.fields[key].contents())
