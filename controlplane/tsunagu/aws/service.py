"""A service of AWS's as this endpoint serves it: botocore's model of it, and a table of operations.

The one rule: a service is added by a table. Its model says what each operation is sent and sends; here is only what it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from botocore.loaders import Loader
from botocore.model import ServiceModel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from botocore.model import OperationModel, Shape

#: The account in ARNs and owners: there is none here, and this is the one that emulators of AWS use.
ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True)
class Call:
    """One validated request. `region`: the one that it was signed for, which is that of the ARNs in its answer."""

    operation: str
    parameters: Mapping[str, Any]
    region: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of a service, e.g. ``service/srv-...``."""
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{resource}"


Operation: TypeAlias = "Callable[[Call], Awaitable[Mapping[str, Any]]]"


@dataclass(frozen=True)
class Service:
    """`name`: of the service's model in botocore. `invalid`: the error of a value that breaks a constraint of the model."""

    name: str
    operations: Mapping[str, Operation]
    invalid: str = "ValidationException"

    @cached_property
    def model(self) -> ServiceModel:
        """The model, read from botocore's files when it is first needed."""
        load: Any = Loader  # botocore has no types
        make: Any = ServiceModel
        model: ServiceModel = make(load().load_service_model(self.name, "service-2"), self.name)
        return model

    @property
    def target_prefix(self) -> str:
        """What requests call the service."""
        return str(self.model.metadata["targetPrefix"])

    @property
    def namespace(self) -> str:
        """The namespace of its shapes, in errors of protocols that say it."""
        return f"com.amazonaws.{self.name}"

    def operation_model(self, operation: str) -> OperationModel | None:
        """The model of an operation; None when the service has none of that name."""
        return self.model.operation_model(operation) if operation in self.model.operation_names else None

    def error_shape(self, operation: str, code: str) -> Shape | None:
        """The shape of an error that the operation can end with; None when the model knows no such error."""
        model = self.operation_model(operation)
        return next((shape for shape in model.error_shapes if shape.name == code), None) if model else None
