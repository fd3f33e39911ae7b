"""The deployment strategies, by ECS's names."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.controllers.deployments.strategies.blue_green import blue_green
from tsunagu.controllers.deployments.strategies.canary import canary
from tsunagu.controllers.deployments.strategies.linear import linear
from tsunagu.controllers.deployments.strategies.rolling import rolling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsunagu.controllers.deployments.strategies.strategy import Strategy
    from tsunagu.v1.deployments_pb2 import ServiceDeployment

STRATEGIES: Mapping[str, Callable[[ServiceDeployment], Strategy]] = MappingProxyType(
    {"ROLLING": rolling, "BLUE_GREEN": blue_green, "LINEAR": linear, "CANARY": canary}
)


def strategy_of(body: ServiceDeployment) -> Strategy:
    """Return a deployment's strategy. A service that has nothing to shift from is rolled out, whatever it says."""
    name = (body.request.strategy or body.configuration.strategy) if body.source_revision else ""
    return STRATEGIES.get(name, rolling)(body)
