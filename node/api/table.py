"""Every route of a node: what is not here is not served."""

from typing import Final

from .accounts import ACCOUNT_ROUTES
from .answers import ANSWER_ROUTES
from .blobs import BLOB_ROUTES
from .contacts import CONTACT_ROUTES
from .exchange import EXCHANGE_ROUTES
from .federation import FEDERATION_ROUTES
from .gossip import GOSSIP_ROUTES
from .keys import KEY_ROUTES
from .linking import LINKING_ROUTES
from .log import LOG_ROUTES
from .members import MEMBER_ROUTES
from .operations import OPERATION_ROUTES
from .operator import OPERATOR_ROUTES
from .relay import RELAY_ROUTES
from .reports import REPORT_ROUTES
from .routes import Route
from .safe import SAFE_ROUTES
from .search import SEARCH_ROUTES
from .siblings import SIBLING_ROUTES
from .witness import WITNESS_ROUTES

ALL_ROUTES: Final[tuple[Route, ...]] = (
    *OPERATION_ROUTES,
    *OPERATOR_ROUTES,
    *ACCOUNT_ROUTES,
    *SAFE_ROUTES,
    *LINKING_ROUTES,
    *CONTACT_ROUTES,
    *SEARCH_ROUTES,
    *EXCHANGE_ROUTES,
    *BLOB_ROUTES,
    *REPORT_ROUTES,
    *SIBLING_ROUTES,
    *ANSWER_ROUTES,
    *FEDERATION_ROUTES,
    *RELAY_ROUTES,
    *GOSSIP_ROUTES,
    *MEMBER_ROUTES,
    *LOG_ROUTES,
    *KEY_ROUTES,
    *WITNESS_ROUTES,
)
