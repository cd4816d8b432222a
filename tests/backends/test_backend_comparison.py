"""The comparison of runs notices what it should on these backends as well."""

from test_comparison import *  # noqa: F403
