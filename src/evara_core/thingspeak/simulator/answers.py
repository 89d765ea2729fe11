"""The answers that are not data: refusals, and the service's ways to say that there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.serialization import dump_json
from evara_core.thingspeak.simulator.request import CSV, HTML, JSON, TEXT, XML, Reply

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.profile import Profile
    from evara_core.thingspeak.simulator.request import Request

__all__ = ["ERRORS", "error", "no_channel", "nothing", "refused_entry", "refused_feed", "type_of"]

ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("error_bad_request", "Bad Request", "The request cannot be fulfilled due to bad syntax."),
    401: (
        "error_auth_required",
        "Authorization Required",
        "Please make sure that the API key is correct.",
    ),
    402: ("error_payment_required", "Payment Required", "The quota of messages is used up."),
    404: ("error_resource_not_found", "Resource Not Found", "What was asked for does not exist."),
    405: ("error_method_invalid", "Method Not Allowed", "This HTTP method is not allowed here."),
    409: ("error_conflict", "Conflict", "A row with this timestamp exists."),
    413: ("error_request_too_large", "Request Entity Too Large", "The request is too large."),
    421: ("error_no_action", "No Action Performed", "Nothing was to be done."),
    422: ("error_invalid_byte_sequence", "Invalid UTF-8", "The request is not valid UTF-8."),
    429: (
        "error_too_many_requests",
        "Too Many Requests",
        "Please wait before making another request.",
    ),
}

_PAGE = (
    b"<!DOCTYPE html>\n<html>\n<head><title>No such page (404)</title></head>\n"
    b"<body>\n  <h1>The page you were looking for doesn't exist.</h1>\n</body>\n</html>\n"
)

_TYPES = {"json": JSON, "xml": XML, "csv": CSV}


def type_of(extension: str) -> bytes:
    """Return the content type of an extension; text for what is none."""
    return _TYPES.get(extension, TEXT)


def error(status: int, extension: str, profile: Profile) -> Reply:
    """Return the error object of *status*; its own status is text."""
    code, message, details = ERRORS.get(status, ("", f"Error {status}", ""))
    match extension:
        case "json":
            told = {"error_code": code, "message": message, "details": details}
            return Reply(status, JSON, dump_json({"status": str(status), "error": told}))
        case "xml":
            root = profile.xml_error_root
            body = (
                f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>\n'
                f"  <status>{status}</status>\n  <error>\n"
                f"    <error-code>{code}</error-code>\n    <message>{message}</message>\n"
                f"    <details>{details}</details>\n  </error>\n</{root}>\n"
            )
            return Reply(status, XML, body.encode())
        case _:
            return Reply(status, TEXT, code.encode())


def refused_feed(channel: SimulatedChannel, request: Request, profile: Profile) -> Reply | None:
    """Return what a stranger gets for the feed of a private channel; None for who may read."""
    if channel.opens(request.key):
        return None
    status = channel.refuses(request.key)
    if status is not None:
        return error(status, request.extension or "json", profile)
    return Reply(profile.denied_feed_status, type_of(request.extension), b"-1")


def refused_entry(channel: SimulatedChannel, request: Request, profile: Profile) -> Reply | None:
    """Return what a stranger gets for one entry of a private channel; None for who may read."""
    if channel.opens(request.key):
        return None
    status = channel.refuses(request.key)
    if status is not None:
        return error(status, request.extension or "json", profile)
    return nothing(request.extension, profile)._replace(status=profile.denied_entry_status)


def nothing(extension: str, profile: Profile) -> Reply:
    """Return the answer for an entry that does not exist: 200, and minus one in some spelling."""
    quoted = extension == "json" and profile.quotes_minus_one
    return Reply(200, type_of(extension), b'"-1"' if quoted else b"-1")


def no_channel(extension: str, profile: Profile) -> Reply:
    """Return the answer for a channel that does not exist."""
    if profile.not_found_is_html:
        return Reply(404, HTML, _PAGE)
    return error(404, extension or "json", profile)
