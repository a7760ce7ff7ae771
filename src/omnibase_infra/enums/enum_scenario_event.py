"""What befalls a simulated dependency."""

from enum import StrEnum


class EnumScenarioEvent(StrEnum):
    """One thing that happens in the course of a scenario."""

    OUTAGE = "outage"
    """Nothing answers: every attempt fails with one of the event's errors, or hangs.

    What is under way fails too, and every connection has to be made anew.
    """
    BROWN_OUT = "brown_out"
    """Everything takes `factor` times as long, and a `share` of the attempts fails when it has been served."""
    SLOW_START = "slow_start"
    """Just come back: caches are cold, and times fall from `factor` to usual while it lasts."""
    BAD_HOST = "bad_host"
    """One of several hosts fails: a `share` of the attempts, evenly spread, as by a balancer that goes round."""
    FAIL_OVER = "fail_over"
    """The primary goes and another takes its place: to the client an outage, and then connections to be made anew."""
    THROTTLING = "throttling"
    """More than `rate` attempts a second are refused, with the hint `retry_after`: a bucket that holds a second's."""
    LEADER_CHANGE = "leader_change"
    """The leader of a `share` of the partitions is elected anew: attempts at those fail until it is known.

    All attempts of a call are at one partition.
    """
    SEALED = "sealed"
    """The server is up and refuses everybody."""
    CREDENTIAL_EXPIRY = "credential_expiry"
    """The credential in use is refused, until it is refreshed or the event ends."""
    DEPLOY_WAVE = "deploy_wave"
    """Instances restart one after the other: a `share` of the capacity is gone, and of the attempts is cut off.

    Such an attempt ends in the middle of its service, and its connection with it.
    """
    CLOCK_PAUSE = "clock_pause"
    """The calling process stands still: a virtual machine is moved, or everything waits for the garbage collector.

    The server goes on, and the users go on calling: the process learns of both when it goes on itself.
    """
