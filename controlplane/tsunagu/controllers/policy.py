"""The controllers' delays and limits: every number of theirs, in one frozen place.

The one rule: a plan gets these as an argument and knows no number of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tsunagu.kit.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Policy:
    """All durations in seconds."""

    #: Before a task takes the place of one that failed: the first is replaced at once, then 1 s, 2 s, 4 s ... 15 min.
    #: ECS grows the delay too, and says neither from where nor how fast (Developer Guide, service throttle logic).
    restart: Backoff = field(default_factory=lambda: Backoff(base=1.0, cap=900.0))
    #: A task that was RUNNING for this long has shown that it can; its end is no failure to start.
    stable_after: float = 10.0
    #: The same for one that failed its health checks, which take their time to say so.
    stable_after_unhealthy: float = 600.0
    #: STOPPED tasks stay visible for an hour (ECS: at least), and of a service the newest few.
    record_age: float = 3600.0
    records_kept: int = 10
    #: Service revisions that nothing uses are kept to go back to.
    revisions_kept: int = 3
    #: Deployments that are over stay visible, the newest few; AWS keeps them for 90 days.
    deployments_kept: int = 20
    #: How long a stage, or a step of a traffic shift, may take besides its bake time, and a deployment with such steps (AWS).
    stage_limit: float = 86_400.0
    deployment_limit: float = 30 * 86_400.0
    #: ECS keeps the newest 100 events of a service.
    events_kept: int = 100
    #: A released virtual address is not given to another name before this.
    address_rest: float = 600.0
    #: Between attempts of a reconciliation that raised. Half of it is jitter.
    retry: Backoff = field(default_factory=lambda: Backoff(base=0.05, cap=30.0, spread=0.5))
    #: How long to wait until the informer shows the change that a commit was in conflict with; all plans wait meanwhile.
    catch_up: float = 5.0
