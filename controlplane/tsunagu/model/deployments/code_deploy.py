"""What CodeDeploy's words for deployments of ECS services are in ECS's own: its configurations, and the hooks of an AppSpec.

The one rule: CodeDeploy's predefined configurations are a table. One that a user has made cannot be known from its name.
Sources: CodeDeploy User Guide, predefined deployment configurations, and the hooks section of an AppSpec; ECS Developer Guide, migrating
from CodeDeploy to ECS blue/green deployments.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


def _canary(percent: int, minutes: int) -> str:
    return (
        f"{{strategy: CANARY, canaryConfiguration: {{canaryPercent: {percent}.0, canaryBakeTimeInMinutes: {minutes}}}}}"
    )


def _linear(percent: int, minutes: int) -> str:
    return f"{{strategy: LINEAR, linearConfiguration: {{stepPercent: {percent}.0, stepBakeTimeInMinutes: {minutes}}}}}"


ALL_AT_ONCE: Final = "{strategy: BLUE_GREEN}"
#: CodeDeploy's predefined configurations for ECS -> the deploymentConfiguration that does the same.
CONFIGURATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CodeDeployDefault.ECSAllAtOnce": ALL_AT_ONCE,
        "CodeDeployDefault.ECSCanary10Percent5Minutes": _canary(10, 5),
        "CodeDeployDefault.ECSCanary10Percent15Minutes": _canary(10, 15),
        "CodeDeployDefault.ECSLinear10PercentEvery1Minutes": _linear(10, 1),
        "CodeDeployDefault.ECSLinear10PercentEvery3Minutes": _linear(10, 3),
    }
)
#: Hooks of an AppSpec -> the lifecycle stage of ECS at which they would be called.
HOOKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BeforeInstall": "PRE_SCALE_UP",
        "AfterInstall": "POST_SCALE_UP",
        "AfterAllowTestTraffic": "POST_TEST_TRAFFIC_SHIFT",
        "BeforeAllowTraffic": "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "AfterAllowTraffic": "POST_PRODUCTION_TRAFFIC_SHIFT",
    }
)
_CONTROLLER: Final = "deploymentController {type: ECS}"


def as_written(configuration: str) -> str:
    """Return what to write in a service in place of a deployment configuration of that name; empty: none is named."""
    made = CONFIGURATIONS.get(configuration)
    if made is None:
        told = "; CANARY and LINEAR shift in steps" if configuration else ""
        return (
            f"write {_CONTROLLER} and deploymentConfiguration {ALL_AT_ONCE} in the service{told} (docs/deployments.md)"
        )
    return f"write {_CONTROLLER} and deploymentConfiguration {made} in the service"


def hooks_as_written(names: list[str]) -> str:
    """Return what to write in place of an AppSpec's hooks; empty without any."""
    stages = [f"{name} is stage {HOOKS[name]}" for name in names if name in HOOKS]
    return f"; its hooks are lifecycleHooks there: {', '.join(stages)}" if stages else ""
