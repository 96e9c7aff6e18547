"""How much disk space users and groups have, which SFTP nodes tell Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sarra_lite.messages.usage import Disk
from sarra_lite.prometheus import Prometheus, Unanswered
from sarra_lite.quota.store import FRESH
from sarra_lite.quota.volumes import MOST
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sarra_lite.config.quota import QuotaConfig
    from sarra_lite.messages.usage import Disks
    from sarra_lite.prometheus import Sample
    from sarra_lite.quota.store import Store

_EVERY: Final = 30.0  # seconds
#: As the rule QuotaNearlyUsed has it: all nodes tell of the same file system.
DISK: Final = {
    "used": "max by (kind, name) (sftp_disk_used_bytes)",
    "limit": "max by (kind, name) (sftp_disk_limit_bytes)",
}


class DiskReader:
    """Asks Prometheus now and then, and keeps what it says in the store."""

    def __init__(self, url: str, config: QuotaConfig, store: Store) -> None:
        """``url`` is that of Prometheus."""
        self._prometheus = Prometheus(url, config.tlsCaFile)
        self._prefix = config.userPrefix
        self._store = store
        self._disks: Disks = {}
        self._answered = float("-inf")
        self._silent = False

    @property
    def disks(self) -> Disks:
        """The last answer; nothing when it is too old."""
        return self._disks if time.monotonic() < self._answered + FRESH else {}

    async def run(self) -> None:
        """Ask again and again; never returns."""
        while True:
            await self._ask()
            await asyncio.sleep(_EVERY)

    async def _ask(self) -> None:
        try:
            seen = await self._prometheus.ask(DISK, alerts=False)
        except Unanswered as error:
            if not self._silent:
                log.warning("Prometheus at %s %s", self._prometheus.url, error)
            self._silent = True
            return
        self._silent = False
        self._disks = _disks(seen.samples, self._prefix)
        self._answered = time.monotonic()
        await asyncio.to_thread(self._store.keep_disks, self._disks, time.time())


def _disks(samples: Mapping[str, list[Sample]], prefix: str) -> Disks:
    """Return the disk space by user or group; a user's name gets the prefix of broker users."""
    limits = {_who(each, prefix): _bytes(each) for each in samples["limit"]}
    return {
        who: Disk(_bytes(each), limits[who])
        for each in samples["used"]
        if (who := _who(each, prefix)) in limits and who[0] in ("user", "group")
    }


def _bytes(sample: Sample) -> int:
    return min(max(0, int(sample.value)), MOST)


def _who(sample: Sample, prefix: str) -> tuple[str, str]:
    kind, name = (sample.labels.get(label, "") for label in ("kind", "name"))
    return kind, f"{prefix}{name}" if kind == "user" else name
