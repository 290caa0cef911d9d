"""Every route of a node: what is not here is not served."""

from typing import Final

from .operations import OPERATION_ROUTES
from .operator import OPERATOR_ROUTES
from .routes import Route

ALL_ROUTES: Final[tuple[Route, ...]] = (*OPERATION_ROUTES, *OPERATOR_ROUTES)
