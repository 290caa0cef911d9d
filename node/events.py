"""One helper for each thing that happens in a node: a counter and a log line, without persons or their ids."""

from typing import Final

from .telemetry import Log, Metrics, failure


class Events:
    """Where parts of a node report what happened."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self.log: Final = log
        self.metrics: Final = metrics

    def _count(self, event: str) -> None:
        self.metrics.events.labels(event).inc()

    def node_ready(self, *, entity: str, url: str, version: str) -> None:
        """The node answers requests from now on."""
        self._count("ready")
        self.log.info("ready", entity=entity, url=url, version=version)

    def node_stopping(self, *, reason: str) -> None:
        """The node takes no new connections and finishes what runs."""
        self._count("stopping")
        self.log.info("stopping", reason=reason)

    def node_stopped(self, *, unfinished: tuple[str, ...]) -> None:
        """The node has stopped; `unfinished` are jobs that had to be abandoned."""
        self._count("stopped")
        self.log.info("stopped", unfinished=unfinished)

    def job_failed(self, job: str, error: Exception, *, again_in_s: float) -> None:
        """A background job raised and starts again after a pause."""
        self.metrics.failures.labels(job).inc()
        self.log.error("job-failed", job=job, again_in_s=again_in_s, **failure(error))

    def step_failed(self, step: str, error: Exception) -> None:
        """A step of a job that does several in turn raised; the others are done, and it is tried again in its turn."""
        self.metrics.steps.labels(step).inc()
        self.log.error("step-failed", step=step, **failure(error))

    def request_failed(self, route: str, error: Exception, *, request_id: str) -> None:
        """A request ended with a mistake of ours."""
        self._count("request-failed")
        self.log.error("request-failed", route=route, request_id=request_id, **failure(error))

    def request_refused(self, route: str, *, status: int, error_code: str, request_id: str) -> None:
        """A request was answered with a problem."""
        self._count("request-refused")
        self.log.debug("request-refused", route=route, status=status, error_code=error_code, request_id=request_id)

    def operator_acted(self, operation: str, *, outcome: str) -> None:
        """An operator used the running node; `outcome` is `done` or an error code."""
        self._count("operator")
        self.log.info("operator", operation=operation, outcome=outcome)

    def dead_letter(self, error_code: str) -> None:
        """A message to another organization will never arrive."""
        self._count("dead-letter")
        self.log.warning("dead-letter", error_code=error_code)

    def item_failed(self, error: Exception) -> None:
        """Taking or sending an item failed by a mistake of ours; it is tried again."""
        self._count("item-failed")
        self.log.error("item-failed", **failure(error))

    def peer_lost(self, *, items: int) -> None:
        """A peer was restored and has lost items it had stored; what can be sent again is."""
        self._count("peer-lost")
        self.log.warning("peer-lost", items=items)

    def fell_back(self) -> None:
        """This node's database is older than a peer remembers: it was put back without `mentormesh restore`."""
        self._count("fell-back")
        self.log.error("fell-back")

    def receipt_refused(self, error_code: str) -> None:
        """Another organization's receipt does not verify."""
        self._count("receipt-refused")
        self.log.warning("receipt-refused", error_code=error_code)

    def mails_sent(self, *, sent: int, retried: int, refused: int, expired: int) -> None:
        """The mail outbox was worked on."""
        self._count("mail")
        self.log.info("mails", sent=sent, retried=retried, refused=refused, expired=expired)

    def log_refused(self, error_code: str) -> None:
        """The node's log cannot be signed; it is served as it was until the operator acts."""
        self._count("log-refused")
        self.log.error("log-refused", error_code=error_code)

    def log_opened(self, error_code: str) -> None:
        """The log is signed although the witnesses have not answered: an override, or the wait is over."""
        self._count("log-opened")
        self.log.warning("log-opened", error_code=error_code)

    def evidence_found(self, kind: str, *, froze: bool) -> None:
        """Another node contradicted itself: `mentormesh log evidence list` shows how."""
        self._count("evidence")
        self.log.error("evidence", kind=kind, froze=froze)

    def report_came(self) -> None:
        """Somebody reported what was said in a session: `mentormesh report list` shows it, still sealed."""
        self._count("report-came")
        self.log.warning("report-came")

    def report_person_named(self, report: str) -> None:
        """Somebody looked up which member a report is about; the line says of which report, and not who."""
        self._count("report-person-named")
        self.log.warning("report-person-named", report=report)

    def key_rotated(self, role: str) -> None:
        """A role of this node has a new key."""
        self._count("key-rotated")
        self.log.warning("key-rotated", role=role)

    def keys_recovered(self) -> None:
        """Every key of this node was replaced by the word of its recovery key."""
        self._count("keys-recovered")
        self.log.warning("keys-recovered")

    def key_confirmed(self) -> None:
        """The administrator took a peer's federation key that nobody known vouches for."""
        self._count("key-confirmed")
        self.log.warning("key-confirmed")

    def member_refused(self, error_code: str) -> None:
        """A registry states a member that cannot be met as stated; `registry memberships` shows which."""
        self._count("member-refused")
        self.log.error("member-refused", error_code=error_code)

    def document_refused(self, error_code: str) -> None:
        """A peer's document could not be had or may not follow the pinned one."""
        self._count("document-refused")
        self.log.warning("document-refused", error_code=error_code)
