"""Every error that evara_core raises on purpose.

EvaraError
├── InvalidInputError           the caller sent something unusable
│   ├── InvalidJsonError          problem
│   ├── InvalidParameterError     parameter, problem, allowed
│   ├── InvalidCursorError        why a page cursor is refused
│   │   └── CursorMismatchError     it is genuine, and of another query
│   ├── InvalidHeaderError        header, problem
│   ├── InvalidBodyError          pointer, problem, allowed
│   ├── InvalidItemsError         a batch is refused: what is wrong with which items
│   ├── IdempotencyMismatchError  the key was used for another request
│   ├── UnsupportedVersionError   asked, supported
│   ├── InvalidExpressionError    text, position, expected
│   ├── InvalidRuleError          rule_id, problem
│   ├── InvalidMappingError       problem
│   └── InvalidExportError        line, problem
├── UnauthenticatedError        we do not know the caller: reason
├── DeniedError                 we know the caller, and no: permission, reason
├── NotFoundError               also what a tenant gets for another's record: what
├── ConflictError               the record changed meanwhile, or is there already
│   ├── IdempotencyRunningError   the first request with the key is not done: retry_after_s
│   └── LeaseLostError            another process may do this by now: name
├── PreconditionFailedError     the record is not as `If-Match` says
├── PreconditionRequiredError   this is done with `If-Match` only
├── LimitExceededError          too many: limit, retry_after_s
├── UpstreamError               something we depend on failed; trying again may help
│   ├── UpstreamTimeoutError      whether it took effect is unknown
│   ├── UpstreamRefusedError      trying again will not help
│   │   ├── AccessDeniedError       the key does not open this channel
│   │   ├── ChannelNotFoundError    there is no such channel
│   │   └── QuotaExceededError      the account's yearly quota is used up
│   ├── UpstreamGarbageError      an answer that is not of the protocol
│   ├── UpstreamOpenError         not tried: it failed too often just now
│   ├── ChannelReset              ids start again: channel_id, entry_id, last_entry_id
│   └── RateLimitedError          retry_after_s
├── StorageUnavailableError     the database is away: retry_after_s
├── SlowConsumerError           a subscriber was let go
├── ClosedError                 used after it was closed
├── ConfigurationError          said at start, never later
├── StatementRefusedError       a statement that cannot be scoped: what, remedy
└── MissingExtraError           also an ImportError: extra

`code` is part of the public contract: it never changes once released. The HTTP status
and the wording for people live in `evara_core.api.catalogue`.

Facts go to `super().__init__`, so that an error survives pickling into a worker.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AccessDeniedError",
    "ChannelNotFoundError",
    "ChannelReset",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "CursorMismatchError",
    "DeniedError",
    "EvaraError",
    "IdempotencyMismatchError",
    "IdempotencyRunningError",
    "InvalidBodyError",
    "InvalidCursorError",
    "InvalidExportError",
    "InvalidExpressionError",
    "InvalidHeaderError",
    "InvalidInputError",
    "InvalidItemsError",
    "InvalidJsonError",
    "InvalidMappingError",
    "InvalidParameterError",
    "InvalidRuleError",
    "LeaseLostError",
    "LimitExceededError",
    "MissingExtraError",
    "NotFoundError",
    "PreconditionFailedError",
    "PreconditionRequiredError",
    "QuotaExceededError",
    "RateLimitedError",
    "SlowConsumerError",
    "StatementRefusedError",
    "StorageUnavailableError",
    "UnauthenticatedError",
    "UnsupportedVersionError",
    "UpstreamError",
    "UpstreamGarbageError",
    "UpstreamOpenError",
    "UpstreamRefusedError",
    "UpstreamTimeoutError",
]


class EvaraError(Exception):
    """The base of them all. Never raised itself."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False


class InvalidInputError(EvaraError):
    """What the caller sent cannot be used."""

    code = "VALIDATION_ERROR"


class InvalidJsonError(InvalidInputError):
    """A text is not JSON."""

    code = "INVALID_JSON"


class InvalidParameterError(InvalidInputError):
    """A query parameter cannot be used.

    Attributes:
        parameter: Its name, as it was sent.
        problem: What is wrong with it.
        allowed: What it may be; empty when that cannot be listed.
    """

    code = "INVALID_PARAMETER"

    def __init__(self, parameter: str, problem: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(parameter, problem, allowed)
        self.parameter = parameter
        self.problem = problem
        self.allowed = allowed

    def __str__(self) -> str:
        allowed = f" (allowed: {', '.join(self.allowed)})" if self.allowed else ""
        return f"{self.parameter}: {self.problem}{allowed}"


class InvalidCursorError(InvalidInputError):
    """A page cursor is damaged or forged."""

    code = "INVALID_CURSOR"


class CursorMismatchError(InvalidCursorError):
    """A page cursor is genuine, and belongs to another query or another caller."""

    code = "CURSOR_MISMATCH"


class InvalidHeaderError(InvalidInputError):
    """A request header is missing where it is needed, or cannot be used.

    Attributes:
        header: Its name.
        problem: What is wrong with it.
    """

    code = "INVALID_HEADER"

    def __init__(self, header: str, problem: str) -> None:
        super().__init__(header, problem)
        self.header = header
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.header}: {self.problem}"


class InvalidBodyError(InvalidInputError):
    """A member of the body cannot be used.

    Attributes:
        pointer: Its place, as a JSON pointer (RFC 6901); empty for the whole body.
        problem: What is wrong with it.
        allowed: What it may be; empty when that cannot be listed.
    """

    code = "INVALID_BODY"

    def __init__(self, pointer: str, problem: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(pointer, problem, allowed)
        self.pointer = pointer
        self.problem = problem
        self.allowed = allowed

    def __str__(self) -> str:
        allowed = f" (allowed: {', '.join(self.allowed)})" if self.allowed else ""
        return f"{self.pointer or 'the body'}: {self.problem}{allowed}"


class InvalidItemsError(InvalidInputError):
    """A batch is refused as a whole. Nothing of it was stored.

    Attributes:
        items: What is wrong with which items, counted from 0: the error that each would
            have met alone.
    """

    code = "INVALID_ITEMS"

    def __init__(self, items: tuple[tuple[int, EvaraError], ...]) -> None:
        super().__init__(items)
        self.items = items

    def __str__(self) -> str:
        return "; ".join(f"item {index}: {error}" for index, error in self.items)


class IdempotencyMismatchError(InvalidInputError):
    """The idempotency key was used before, for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"


class UnsupportedVersionError(InvalidInputError):
    """There is no such version of the API.

    Attributes:
        asked: What was asked for.
        supported: What there is.
    """

    code = "UNSUPPORTED_VERSION"

    def __init__(self, asked: str, supported: tuple[str, ...]) -> None:
        super().__init__(asked, supported)
        self.asked = asked
        self.supported = supported

    def __str__(self) -> str:
        return f"no version {self.asked!r} (supported: {', '.join(self.supported)})"


class InvalidExpressionError(InvalidInputError):
    """An expression does not parse, or uses a name that does not exist.

    Attributes:
        text: The expression as it was sent.
        position: Where it stopped making sense, counted in characters from 0.
        expected: What could have stood there.
    """

    code = "INVALID_EXPRESSION"

    def __init__(self, text: str, position: int, expected: str) -> None:
        super().__init__(text, position, expected)
        self.text = text
        self.position = position
        self.expected = expected

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"  # noqa: PLR2004 - a line or two
        return f"expected {self.expected} at character {self.position} of {shown!r}"


class InvalidRuleError(InvalidInputError):
    """An alert rule makes no sense.

    Attributes:
        rule_id: Which one.
        problem: What is wrong with it.
    """

    code = "INVALID_RULE"

    def __init__(self, rule_id: str, problem: str) -> None:
        super().__init__(rule_id, problem)
        self.rule_id = rule_id
        self.problem = problem

    def __str__(self) -> str:
        return f"rule {self.rule_id!r}: {self.problem}"


class InvalidMappingError(InvalidInputError):
    """A mapping from channel fields to metrics makes no sense."""

    code = "INVALID_MAPPING"


class InvalidExportError(InvalidInputError):
    """A CSV file is not a ThingSpeak export that can be read.

    Attributes:
        line: Where, counted from 1; 0 when it is the whole file.
        problem: What is wrong there, and what to do about it.
    """

    code = "INVALID_EXPORT"

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(line, problem)
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}" if self.line else self.problem


class UnauthenticatedError(EvaraError):
    """We do not know the caller.

    Attributes:
        reason: A code for the log. It is never shown to the caller.
    """

    code = "UNAUTHENTICATED"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DeniedError(EvaraError):
    """The caller is known, and may not do this.

    Attributes:
        permission: The permission that is missing.
        reason: A code for the log.
    """

    code = "FORBIDDEN"

    def __init__(self, permission: str, reason: str = "not_granted") -> None:
        super().__init__(permission, reason)
        self.permission = permission
        self.reason = reason

    def __str__(self) -> str:
        return f"missing permission: {self.permission}"


class NotFoundError(EvaraError):
    """There is no such record in the caller's scope.

    Attributes:
        what: The kind of record, such as `node`.
    """

    code = "NOT_FOUND"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"no such {self.what}"


class ConflictError(EvaraError):
    """The record changed meanwhile, or is there already."""

    code = "CONFLICT"


class IdempotencyRunningError(ConflictError):
    """The first request with this idempotency key is not done yet.

    Attributes:
        retry_after_s: Seconds until it makes sense to ask again.
    """

    code = "IDEMPOTENCY_KEY_IN_USE"
    retryable = True

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return "a request with this idempotency key is running"


class LeaseLostError(ConflictError):
    """What was to be stored was decided under a lease that is over. Nothing was stored.

    Attributes:
        name: Of the lease.
    """

    code = "LEASE_LOST"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the lease {self.name!r} is lost: another process may hold it by now"


class PreconditionFailedError(EvaraError):
    """The record is not as the request says that it must be. Nothing was changed."""

    code = "PRECONDITION_FAILED"


class PreconditionRequiredError(EvaraError):
    """This is done only to a record of which the caller says the state it knows."""

    code = "PRECONDITION_REQUIRED"


class LimitExceededError(EvaraError):
    """Too many requests.

    Attributes:
        limit: Which limit was met.
        retry_after_s: Seconds until it makes sense to try again.
    """

    code = "RATE_LIMITED"
    retryable = True

    def __init__(self, limit: str, retry_after_s: float) -> None:
        super().__init__(limit, retry_after_s)
        self.limit = limit
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"limit {self.limit!r} reached: retry in {self.retry_after_s:g} s"


class UpstreamError(EvaraError):
    """Something that we depend on failed.

    Attributes:
        asked_pause_s: Seconds to leave it alone that it asked for; 0: it did not ask.
    """

    code = "UPSTREAM_FAILED"
    retryable = True
    asked_pause_s: float = 0.0


class UpstreamTimeoutError(UpstreamError):
    """No answer came in time. Whether the request took effect is unknown."""

    code = "UPSTREAM_TIMEOUT"


class UpstreamRefusedError(UpstreamError):
    """It understood the request and said no."""

    code = "UPSTREAM_REFUSED"
    retryable = False


class AccessDeniedError(UpstreamRefusedError):
    """The channel is private, and the key that was sent does not open it."""

    code = "UPSTREAM_ACCESS_DENIED"


class ChannelNotFoundError(UpstreamRefusedError):
    """There is no such channel."""

    code = "UPSTREAM_CHANNEL_NOT_FOUND"


class QuotaExceededError(UpstreamRefusedError):
    """The account has used up its messages for the year."""

    code = "UPSTREAM_QUOTA_EXCEEDED"


class UpstreamGarbageError(UpstreamError):
    """The answer is not of the protocol: HTML, cut JSON, wrong types, too large."""

    code = "UPSTREAM_GARBAGE"


class UpstreamOpenError(UpstreamError):
    """Not tried: it failed too often just now.

    Attributes:
        retry_after_s: Seconds until it is tried again.
    """

    code = "UPSTREAM_OPEN"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"not tried: it failed too often; retry in {self.retry_after_s:g} s"


class ChannelReset(UpstreamError):  # noqa: N818 - an event of the channel, not a fault
    """The channel was cleared or rewritten: the position that was stored means nothing now.

    Read it again from the beginning. Whoever stores rows under their time and id keeps
    those that are the same.

    Attributes:
        channel_id: Which one.
        entry_id: The last entry that was taken before.
        last_entry_id: The newest entry that the channel has now; None when it is empty.
    """

    code = "UPSTREAM_CHANNEL_RESET"
    retryable = False

    def __init__(self, channel_id: int, entry_id: int, last_entry_id: int | None) -> None:
        super().__init__(channel_id, entry_id, last_entry_id)
        self.channel_id = channel_id
        self.entry_id = entry_id
        self.last_entry_id = last_entry_id

    def __str__(self) -> str:
        return (
            f"channel {self.channel_id} was cleared or rewritten: "
            f"entry {self.entry_id} is not what it was, the newest is {self.last_entry_id}"
        )


class RateLimitedError(UpstreamError):
    """Upstream asks us to slow down.

    Attributes:
        retry_after_s: Seconds to wait before the next attempt.
    """

    code = "UPSTREAM_RATE_LIMITED"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"rate limited: retry in {self.retry_after_s:g} s"


class StorageUnavailableError(EvaraError):
    """The database did not answer, or is busy. Nothing was stored.

    Attributes:
        retry_after_s: Seconds until it makes sense to try again.
    """

    code = "SERVICE_UNAVAILABLE"
    retryable = True

    def __init__(self, problem: str, retry_after_s: float = 5.0) -> None:
        super().__init__(problem, retry_after_s)
        self.problem = problem
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.problem


class SlowConsumerError(EvaraError):
    """A subscriber did not keep up and was let go. It may resume."""

    code = "SLOW_CONSUMER"


class ClosedError(EvaraError):
    """It was used after it was closed."""

    code = "CLOSED"


class ConfigurationError(EvaraError):
    """The set-up cannot work. Said at start, never later."""

    code = "CONFIGURATION_ERROR"


class StatementRefusedError(EvaraError):
    """A statement cannot be limited to the rows of its scope. Nothing was sent to the database.

    Attributes:
        what: What in it cannot be scoped.
        remedy: What to write instead.
    """

    code = "STATEMENT_REFUSED"

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"refused: {self.what}. Instead: {self.remedy}"


class MissingExtraError(EvaraError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra that brings it.
    """

    code = "MISSING_EXTRA"

    def __init__(self, extra: str) -> None:
        super().__init__(extra)
        self.extra = extra

    def __str__(self) -> str:
        return f"needs the {self.extra!r} extra: pip install 'evara-core[{self.extra}]'"
