"""What is recorded agrees with references computed by these backends, and with NumPy."""

from test_numbers import *  # noqa: F403
