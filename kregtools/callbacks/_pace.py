"""What a long run is spared."""

PARTS = 100


def is_milestone(epoch: int) -> bool:
    """Whether an epoch is one of those that are looked at closely, to keep the cost of long runs in proportion.

    All of the first 200 are, then every second one, from epoch 300 on every third, and so on: each is a hundredth
    part of the run until then.
    """
    return epoch % max(1, epoch // PARTS) == 0
