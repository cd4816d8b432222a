"""What a check says where it fails."""

from __future__ import annotations


def expect(condition: bool, message: str) -> None:
    """Raises an AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)
