"""How a store is used by one program: values that a caller may set when opening it.

Nothing here is read from the environment or from files: the faces do that and pass the result in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gitctx.errors import ConfigInvalid
from gitctx.values import Durability

DEFAULT_MAX_VALUE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try a lost compare-and-swap again.

    Default: full jitter (a uniformly random delay between 0 and a ceiling that doubles from `first_s` to `ceiling_s`),
    until `deadline_s` after the write's turn came. With `fixed_s` those delays are used instead, then the policy is
    spent; the deadline holds all the same. Source of full jitter: "Exponential Backoff
    And Jitter", AWS Architecture Blog, 2015.
    """

    first_s: float = 0.001
    ceiling_s: float = 0.050
    deadline_s: float = 5.0
    fixed_s: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        delays = (self.first_s, self.ceiling_s, self.deadline_s, *(self.fixed_s or ()))
        if any(not 0 <= delay < float("inf") for delay in delays):
            raise ConfigInvalid("a retry policy needs delays of zero or more seconds", hint="see gitctx.RetryPolicy")

    @classmethod
    def classic(cls) -> RetryPolicy:
        """Three retries after 100, 200 and 400 ms."""
        return cls(fixed_s=(0.1, 0.2, 0.4))

    def delays(self, rng: random.Random) -> Iterator[float]:
        """The delays in seconds before each retry; ends when the policy is spent (the deadline is the caller's to
        watch).
        """
        if self.fixed_s is not None:
            yield from self.fixed_s
            return
        ceiling = self.first_s
        while True:
            yield rng.uniform(0, ceiling)
            ceiling = min(ceiling * 2, self.ceiling_s)


def utc_now() -> datetime:
    """The machine's clock, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything about a program's use of a store that isn't in the store.

    With `group_commit`, writes that wait at the same time are published together: each is a commit of its own, and all
    share one compare-and-swap and one set of syncs. `queue_patience_s` is how long a write waits for a writer in front
    that doesn't move: the queue only saves lost races, so a stopped process in front of us must not stop us. With 0 it
    waits for nobody, and nobody else makes its writes. `network_timeout_s` is how long one fetch or push may take. With
    `auto_recover` a damaged store is recovered when it is opened; `Context.recovered` tells. `clock`, `monotonic`,
    `sleep` and `rng` are there to be replaced in tests.
    """

    durability: Durability = "durable"
    group_commit: bool = True
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    queue_patience_s: float = 2.5
    git_timeout_s: float = 600.0
    network_timeout_s: float = 60.0
    auto_recover: bool = False
    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.SystemRandom)

    def __post_init__(self) -> None:
        if self.durability not in ("durable", "relaxed"):
            raise ConfigInvalid(f"durability is {self.durability!r}", hint="use 'durable' or 'relaxed'")
