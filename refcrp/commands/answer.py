"""What a command gives back."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """What a command prints when it is done, and the exit status, which holds even if nobody reads."""

    text: str
    status: int = 0
