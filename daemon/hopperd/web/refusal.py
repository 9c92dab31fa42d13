"""What is said to whoever asked for something that cannot be done."""

from __future__ import annotations


class Refusal(Exception):
    """It cannot be done; the sentence says why and what to do."""
