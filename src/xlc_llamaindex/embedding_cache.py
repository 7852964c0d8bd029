"""A cache of embeddings with separate entries for each model, prompt and text."""

from __future__ import annotations

import hashlib
from typing import Any

from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

__all__ = ["KeyedCache"]


class KeyedCache(BaseKVStore):
    """A key-value store whose keys are extended by a further text.

    LlamaIndex uses the bare text as the key, so a query would find the vector of an equal passage, and a model that of
    another model.

    Args:
        store: the store with the entries.
        kind: everything that an entry depends on besides its key, as text.
    """

    def __init__(self, store: BaseKVStore, kind: str) -> None:
        self._store = store
        self._prefix = hashlib.sha256(kind.encode()).hexdigest()[:16]

    def _key(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Store an entry."""
        self._store.put(self._key(key), val, collection=collection)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Store an entry."""
        await self._store.aput(self._key(key), val, collection=collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return an entry, or None."""
        return self._store.get(self._key(key), collection=collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return an entry, or None."""
        return await self._store.aget(self._key(key), collection=collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return the entries of this kind."""
        return self._own(self._store.get_all(collection=collection))

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return the entries of this kind."""
        return self._own(await self._store.aget_all(collection=collection))

    def _own(self, entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        start = self._key("")
        return {key.removeprefix(start): value for key, value in entries.items() if key.startswith(start)}

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Remove an entry, and return whether there was one."""
        return self._store.delete(self._key(key), collection=collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Remove an entry, and return whether there was one."""
        return await self._store.adelete(self._key(key), collection=collection)
