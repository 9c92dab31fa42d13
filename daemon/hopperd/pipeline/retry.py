"""How long to wait before the same step is tried again. Pure: the jitter is drawn outside and passed in.

One formula, `attempt` counted from 0:

    full  = min(longest, first * 2 ** attempt)
    delay = full * (1 - jitter / 4)               jitter in [0, 1]: up to a quarter earlier, so that waiters spread
    delay = max(delay, min(retry_after, LONGEST_DELAY_SECONDS))   where the service said when to come back

From the sixth doubling on the power is not computed at all, however long a job has been trying: the attempt is a count
from a database and may be huge, and a float power overflows at 1,024. Nothing here gives up: weather never does.
"""

from __future__ import annotations

import math

FIRST_DELAY_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 60.0

LONGEST_DELAY_SECONDS = 3600.0
"""No due time is ever set further ahead than this, Retry-After and looks at tasks included. After the wall clock
stepped, due times further away than this are wrong and may be clamped."""


def delay_seconds(
    attempt: int,
    jitter: float,
    *,
    first: float = FIRST_DELAY_SECONDS,
    longest: float = LONGEST_BACKOFF_SECONDS,
    retry_after: float | None = None,
) -> float:
    """Seconds to wait after failed try number `attempt` (0 is the first). See the formula in the module's docstring.

    Never negative, never above LONGEST_DELAY_SECONDS, never less than a Retry-After within that bound.
    """
    doublings = max(0, attempt)
    longest = min(longest, LONGEST_DELAY_SECONDS)
    # 2**62 seconds is beyond any `longest`: from there on the cap is the answer and the power need not be computed.
    full = longest if doublings > 62 else min(longest, first * 2.0**doublings)
    delay = max(0.0, full) * (1.0 - min(1.0, max(0.0, jitter)) / 4.0)
    if retry_after is not None and not math.isnan(retry_after):
        delay = max(delay, min(retry_after, LONGEST_DELAY_SECONDS))
    return delay
