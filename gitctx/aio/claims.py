"""Claims, for asyncio."""

from __future__ import annotations

from gitctx.aio.bridge import Part, holding, reading, writing
from gitctx.sessions.claims import Claims


class AsyncClaims(Part[Claims]):
    """`Claims` for asyncio. A claim that is waited for can be cancelled at any time."""

    get = reading(Claims.get)
    list = reading(Claims.list)
    claim = writing(Claims.claim, lane="waits")
    renew = writing(Claims.renew)
    release = writing(Claims.release)
    hold = holding(Claims.hold, lane="waits")
