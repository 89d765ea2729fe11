"""The compact form of a signed token, taken apart. Knows no keys and believes nothing.

Rules: limits before work; one spelling only of everything (base64url without padding or
stray bits, UTF-8, JSON names once); nothing in the header but `alg`, `typ` and `kid`.
What does not fit is refused before a signature is looked at.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from binascii import Error as BinasciiError
from binascii import a2b_base64
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

from evara_core.errors import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_TOKEN_BYTES",
    "CompactToken",
    "TokenFault",
    "decode_base64url",
    "encode_base64url",
    "parse_compact",
    "parse_object",
]

MAX_TOKEN_BYTES: Final = 8192
"""What servers commonly allow for all headers of a request together (nginx: 8 KiB a line)."""

_MAX_HEADER_CHARS: Final = 512
_MAX_DEPTH: Final = 32
"""Of arrays and objects in each other. No issuer nests claims in more than a few; how deep a
JSON parser itself goes differs between versions of Python."""
_HEADER_NAMES: Final = frozenset({"alg", "typ", "kid"})
_KID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_JSON_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_TO_STANDARD: Final = str.maketrans("-_", "+/")


class TokenFault(StrEnum):
    """Why a token is refused. For the log: outside there is one 401 for all of them."""

    MISSING = "token_missing"
    TOO_LONG = "token_too_long"
    MALFORMED = "token_malformed"
    HEADER_NOT_ALLOWED = "token_header_not_allowed"
    TYPE_NOT_ALLOWED = "token_type_not_allowed"
    ALGORITHM_NOT_ALLOWED = "token_algorithm_not_allowed"
    KEY_UNKNOWN = "token_key_unknown"
    KEY_RETIRED = "token_key_retired"
    SIGNATURE_WRONG = "token_signature_wrong"
    CLAIM_MALFORMED = "token_claim_malformed"
    ISSUER_WRONG = "token_issuer_wrong"
    AUDIENCE_WRONG = "token_audience_wrong"
    SUBJECT_MISSING = "token_subject_missing"
    NOT_A_USER = "token_not_a_user"
    EXPIRED = "token_expired"
    NOT_YET_VALID = "token_not_yet_valid"
    LIVES_TOO_LONG = "token_lives_too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactToken:
    """What a token says of itself, and nothing of it proven."""

    algorithm: str
    kid: str | None
    type: str | None
    signed: bytes
    """The bytes that the signature is over."""

    signature: bytes
    payload: str
    """Still encoded: nobody reads claims before the signature holds."""


def parse_compact(token: object, *, max_bytes: int = MAX_TOKEN_BYTES) -> CompactToken:
    """Take *token* apart.

    Raises:
        UnauthenticatedError: It is not text, too long, not of three parts, or its header is
            not one of ours. Nothing else is ever raised.
    """
    if not isinstance(token, str) or not token:
        raise UnauthenticatedError(TokenFault.MISSING)
    if len(token) > max_bytes:
        raise UnauthenticatedError(TokenFault.TOO_LONG)
    parts = token.split(".", 3)
    if len(parts) != 3 or not token.isascii():  # noqa: PLR2004 - header, payload, signature
        raise UnauthenticatedError(TokenFault.MALFORMED)
    head, payload, tail = parts
    if len(head) > _MAX_HEADER_CHARS:
        raise UnauthenticatedError(TokenFault.TOO_LONG)
    header = parse_object(decode_base64url(head))
    if not header.keys() <= _HEADER_NAMES:
        raise UnauthenticatedError(TokenFault.HEADER_NOT_ALLOWED)
    return CompactToken(
        algorithm=_text(header, "alg", TokenFault.ALGORITHM_NOT_ALLOWED),
        kid=_kid(header),
        type=_text(header, "typ", TokenFault.TYPE_NOT_ALLOWED) if "typ" in header else None,
        signed=token[: len(head) + 1 + len(payload)].encode("ascii"),
        signature=decode_base64url(tail),
        payload=payload,
    )


def decode_base64url(text: str) -> bytes:
    """Return the bytes of *text*, which must be the one spelling that RFC 7515 has for them.

    Raises:
        UnauthenticatedError: Padding, white space, foreign letters, stray bits, or empty.
    """
    if _BASE64URL.fullmatch(text) is None:
        raise UnauthenticatedError(TokenFault.MALFORMED)
    padded = text.translate(_TO_STANDARD) + "=" * (-len(text) % 4)
    try:
        value = a2b_base64(padded, strict_mode=True)
    except (BinasciiError, ValueError) as error:
        raise UnauthenticatedError(TokenFault.MALFORMED) from error
    # The last letter may carry bits that belong to no byte: two spellings of one token.
    if encode_base64url(value[-3:] if len(value) % 3 == 0 else value[-(len(value) % 3) :]) != (
        text[-4:] if len(text) % 4 == 0 else text[-(len(text) % 4) :]
    ):
        raise UnauthenticatedError(TokenFault.MALFORMED)
    return value


def encode_base64url(value: bytes) -> str:
    """Return *value* as base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def parse_object(value: bytes) -> dict[str, object]:
    """Return the JSON object in *value*: UTF-8, no name twice, no NaN, nested 32 deep at most.

    Raises:
        UnauthenticatedError: It is anything else.
    """
    if _is_too_deep(value):
        raise UnauthenticatedError(TokenFault.MALFORMED)
    try:
        parsed = _DECODER.decode(value.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnauthenticatedError(TokenFault.MALFORMED) from error
    if not isinstance(parsed, dict):
        raise UnauthenticatedError(TokenFault.MALFORMED)
    return parsed


def _is_too_deep(value: bytes) -> bool:
    if value.count(b"[") + value.count(b"{") <= _MAX_DEPTH:
        return False
    depth = deepest = 0
    for character in _JSON_STRING.sub(b"", value):
        if character in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in b"]}":
            depth -= 1
    return deepest > _MAX_DEPTH


def _kid(header: Mapping[str, object]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise UnauthenticatedError(TokenFault.KEY_UNKNOWN)
    return kid


def _text(header: Mapping[str, object], name: str, fault: TokenFault) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise UnauthenticatedError(fault)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(TokenFault.MALFORMED)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
