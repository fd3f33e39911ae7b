"""ROLLING: tasks are replaced as minimumHealthyPercent and maximumPercent allow. Traffic follows the tasks.

It bakes only where alarms are monitored and there is something to go back to, for as long as the alarms look back (AWS computes
the time from them, too): the old tasks are gone by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers.deployments.strategies.strategy import Strategy
from tsunagu.model.statuses import AlarmsStatus, Stage

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import ServiceDeployment


def rolling(body: ServiceDeployment) -> Strategy:
    """Make the strategy."""
    bakes = bool(body.source_revision) and body.alarms.status not in ("", AlarmsStatus.DISABLED)
    return Strategy("ROLLING", (Stage.SCALE_UP, Stage.BAKE_TIME) if bakes else (Stage.SCALE_UP,))
