"""The fields of a form with files (``multipart/form-data``)."""

from __future__ import annotations

from typing import Any

from xlc_server.errors import ApiError, not_supported
from xlc_server.reading import Reader
from xlc_server.sending import Scope

__all__ = ["read_form"]

_MOST_PARTS = 64
_LONGEST_FIELD = 64 << 10
"""Bytes of a field that is not a file. The whole form is limited as every body is."""


def _read(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return texts, files as bytes, and lists of fields whose names end in ``[]``, without these signs."""
    try:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import FormParser, parse_options_header
    except ImportError:  # of the extra, but only forms need it
        raise not_supported("forms need the package python-multipart: pip install 'xllama[server]'") from None
    kind, options = parse_options_header(dict(scope["headers"]).get(b"content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(400, "the body must be a form with files (multipart/form-data)", code="invalid_form")
    fields: dict[str, Any] = {}

    def add(part: Any, value: bytes | str) -> None:
        name = (part.field_name or b"").decode("utf-8", "replace")
        if len(fields) >= _MOST_PARTS:
            raise ApiError(400, f"the form has more than {_MOST_PARTS} fields", code="invalid_form")
        if name.endswith("[]"):
            fields.setdefault(name[:-2], []).append(value)
        elif name in fields:
            raise ApiError(400, f"{name[:100]}: the form has this field twice", param=name[:100])
        else:
            fields[name] = value

    def add_field(field: Any) -> None:
        value = field.value or b""
        if len(value) > _LONGEST_FIELD:
            raise ApiError(400, f"a field of the form has more than {_LONGEST_FIELD} bytes", code="invalid_form")
        add(field, value.decode("utf-8", "replace"))

    def add_file(file: Any) -> None:
        file.file_object.seek(0)
        add(file, file.file_object.read())

    # A form is in memory already, so its files stay there.
    in_memory: dict[str, Any] = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
    try:
        parser = FormParser("multipart/form-data", add_field, add_file, boundary=options[b"boundary"], config=in_memory)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ApiError(400, f"the form cannot be read: {error}", code="invalid_form") from None
    return fields


read_form = Reader("multipart/form-data", _read)
