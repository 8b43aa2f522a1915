"""Signatures of AWS: whether a request was signed with a secret that the emulator gave out.

The canonical forms are botocore's own: what a client says that it signed is signed anew, and both signatures are
compared. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import math
import re
import time
from calendar import timegm
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from botocore.auth import HmacV1Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from werkzeug.datastructures import EnvironHeaders

from cloudtune.emulation.access import Environ, Refusal, same
from cloudtune.emulation.bodies import TooLarge, at_hand
from cloudtune_sagemaker.emulator import posts

_HEADER = re.compile(r"AWS4-HMAC-SHA256\s+Credential=([^, ]+)\s*,\s*SignedHeaders=([^, ]+)\s*,\s*Signature=([0-9a-f]+)")
_OLD_HEADER = re.compile(r"AWS ([^: ]+):([A-Za-z0-9+/=]+)")
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSIGNED = "UNSIGNED-PAYLOAD"

_SKEW = 15 * 60
"""Seconds by which a request's time may differ from ours."""

_LONGEST = 7 * 86_400
"""Seconds for which an address may be signed in advance."""

_MOST_OF_OBJECT = 5 * 1024**3
"""Bytes of an object in one request of S3 ("single PUT operation")."""

_MOST = 64 * 1024**2
"""Bytes of a request of another service."""

_MISMATCH = Refusal("wrong", "The request signature we calculated does not match the signature you provided.")
_EXPIRED = Refusal("expired", "The signature has expired, or is not yet valid.")
_UNKNOWN = Refusal("unknown", "The security token included in the request is invalid.")
_LAPSED = Refusal("lapsed", "The security token included in the request is expired")

SIGNER = "cloudtune.signer"
"""Where a request that is let in has the access key id of its signer."""


@dataclass(frozen=True, slots=True)
class Key:
    """A pair of keys that the emulator gave out.

    Attributes:
        secret: the secret one.
        token: the session's; "" for none.
        until: when the session ends, in seconds since 1970.
    """

    secret: str
    token: str = ""
    until: float = math.inf

    def refusal(self, token: str, now: float) -> Refusal | None:
        """Find out why a request that brings a session's token, or "", may not use them at a time."""
        if not same(token, self.token):
            return _UNKNOWN
        return None if now < self.until else _LAPSED


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says of its own signature of version 4.

    Attributes:
        key: the access key id.
        signature: what it is signed with.
        date: when, ``YYYYMMDDTHHMMSSZ``.
        region: of the scope.
        service: of the scope.
        headers: names of the headers that are signed, in small letters.
        expires: seconds for which it holds; None for a request that is not signed in advance.
        token: the session's; "" for none.
    """

    key: str
    signature: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    expires: int | None
    token: str


class Signatures:
    """Looks at the signature of every request.

    Args:
        keys: the pair with an access key id; None where the emulator gave out no such.
        now: gives the time, in seconds since 1970.
    """

    def __init__(self, keys: Callable[[str], Key | None], now: Callable[[], float] = time.time) -> None:
        self._keys, self._now = keys, now

    def admit(self, environ: Environ) -> Refusal | None:
        """Find out whether a request is signed with one of the pairs; its body is then at hand, whole."""
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        authorization = environ.get("HTTP_AUTHORIZATION", "").strip()
        try:
            if authorization.startswith("AWS ") or (not authorization and "AWSAccessKeyId" in query):
                return self._admit_old(environ, authorization, query)
            if not authorization and posts.is_form(environ):
                return self._admit_form(environ)
            claim = _claim(environ, authorization, query)
            if claim is None:
                return Refusal("missing", "The request is not signed.")
            environ[SIGNER] = claim.key
            key = self._keys(claim.key)
            if key is None:
                return _UNKNOWN
            return key.refusal(claim.token, self._now()) or self._of_time(claim) or _of_signature(environ, claim, key)
        except TooLarge:
            return Refusal("size", "The request is larger than may be.")

    def _admit_form(self, environ: Environ) -> Refusal | None:
        """Return the same for a form, which a policy allows that is signed in advance; its file is then the request's body."""
        form = posts.Form.begun(environ, _MOST_OF_OBJECT)
        if isinstance(form, Refusal):
            return form
        fields = form.fields
        name = fields.get("x-amz-credential", "").partition("/")[0] or fields.get("awsaccesskeyid", "")
        environ[SIGNER] = name
        key = self._keys(name)
        if key is None:
            return _UNKNOWN
        refusal = key.refusal(fields.get("x-amz-security-token", ""), self._now()) or _of_policy(fields, name, key)
        return refusal or form.admit(environ, self._now())

    def _of_time(self, claim: _Claim) -> Refusal | None:
        try:
            age = self._now() - timegm(time.strptime(claim.date, "%Y%m%dT%H%M%SZ"))
        except ValueError:
            return _MISMATCH
        most = _SKEW if claim.expires is None else min(claim.expires, _LONGEST)
        return None if -_SKEW <= age <= most else _EXPIRED

    def _admit_old(self, environ: Environ, authorization: str, query: Mapping[str, str]) -> Refusal | None:
        """Return the same for version 2, with which boto3 still signs addresses of S3 in advance."""
        found = _OLD_HEADER.fullmatch(authorization)
        name, signature = (query.get("AWSAccessKeyId", ""), query.get("Signature", "")) if found is None else found.groups()  # fmt: skip
        environ[SIGNER] = name
        key = self._keys(name)
        if key is None:
            return _UNKNOWN
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "") or query.get("x-amz-security-token", "")
        if refusal := key.refusal(token, self._now()):
            return refusal
        date = environ.get("HTTP_DATE", "")
        if found is None:
            date = query.get("Expires", "")
            if not re.fullmatch("[0-9]{1,12}", date) or not 0 <= int(date) - self._now() <= _LONGEST:
                return _EXPIRED
        if not same(signature, _OldSigner(Credentials(name, key.secret), date).signature_of(environ, query)):
            return _MISMATCH
        at_hand(environ, _MOST_OF_OBJECT)
        return None


def _of_policy(fields: Mapping[str, str], name: str, key: Key) -> Refusal | None:
    """Find out whether the policy of a form is signed, by version 4 or 2."""
    policy, credentials = fields.get("policy", ""), Credentials(name, key.secret)
    if "x-amz-credential" in fields:
        scope = fields["x-amz-credential"].split("/")
        if len(scope) != 5 or scope[3:] != ["s3", "aws4_request"]:
            return _MISMATCH
        request = AWSRequest()
        request.context["timestamp"] = scope[1]
        given, signature = (
            fields.get("x-amz-signature", ""),
            SigV4Auth(credentials, "s3", scope[2]).signature(policy, request),
        )
    else:
        given, signature = fields.get("signature", ""), HmacV1Auth(credentials).sign_string(policy)
    return None if policy and same(given, str(signature)) else _MISMATCH


def _claim(environ: Environ, authorization: str, query: Mapping[str, str]) -> _Claim | None:
    """Return what a request says of its signature; None where it says nothing that can be read."""
    found = _HEADER.fullmatch(authorization)
    expires = None
    if found is not None:
        credential, headers, signature = found.groups()
        date, token = environ.get("HTTP_X_AMZ_DATE", ""), environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
    elif not authorization and re.fullmatch("[0-9]{1,7}", query.get("X-Amz-Expires", "")):
        wanted = ("Credential", "SignedHeaders", "Signature", "Date", "Security-Token")
        credential, headers, signature, date, token = (query.get(f"X-Amz-{name}", "") for name in wanted)
        expires = int(query["X-Amz-Expires"])
    else:
        return None
    scope = credential.split("/")
    if len(scope) != 5 or scope[4] != "aws4_request" or not _DATE.fullmatch(date) or scope[1] != date[:8]:
        return None
    return _Claim(scope[0], signature, date, scope[2], scope[3], tuple(headers.lower().split(";")), expires, token)


def _of_signature(environ: Environ, claim: _Claim, key: Key) -> Refusal | None:
    of_object = claim.service == "s3"
    hashed = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if not hashed and of_object and claim.expires is not None:
        hashed = _UNSIGNED
    if not hashed:
        hashed = at_hand(environ, _MOST)
        return None if same(claim.signature, _signed(environ, claim, key, hashed)) else _MISMATCH
    if not same(claim.signature, _signed(environ, claim, key, hashed)):  # before the body has come
        return _MISMATCH
    actual = at_hand(environ, _MOST_OF_OBJECT if of_object else _MOST)
    return _MISMATCH if _SHA256.fullmatch(hashed) and not same(hashed, actual) else None


def _signed(environ: Environ, claim: _Claim, key: Key, hashed: str) -> str:
    """Return the signature that the request should have; "" where what was to be signed is not all there."""
    sent = EnvironHeaders(environ)
    if "host" not in claim.headers or not all(name in sent for name in claim.headers):
        return ""
    request = AWSRequest(environ["REQUEST_METHOD"], f"http://host{_target(environ)}")
    for name in claim.headers:
        request.headers[name] = sent[name]
    request.context["timestamp"] = claim.date
    signer = _Signer(Credentials(claim.key, key.secret), claim, hashed)
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


class _Signer(SigV4Auth):
    """Signs what a client says that it signed, and nothing else."""

    def __init__(self, credentials: Credentials, claim: _Claim, hashed: str) -> None:
        super().__init__(credentials, claim.service, claim.region)
        self._hashed, self._in_advance = hashed, claim.expires is not None
        self._of_objects = claim.service in ("s3", "s3express")

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return request.headers

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002  # botocore's
        return self._hashed

    def canonical_query_string(self, request: AWSRequest) -> str:
        pairs = [pair.partition("=") for pair in urlsplit(str(request.url)).query.split("&") if pair]
        quoted = sorted((_quoted(name), _quoted(value)) for name, _, value in pairs)
        return "&".join(
            f"{name}={value}" for name, value in quoted if not (self._in_advance and name == "X-Amz-Signature")
        )

    def _normalize_url_path(self, path: str) -> str:
        """S3 takes the path as it was sent, the other services quote it once more."""
        return path if self._of_objects else str(super()._normalize_url_path(path))  # type: ignore[misc]  # not in its stubs


class _OldSigner(HmacV1Auth):
    """Signs a request of S3 anew by version 2, at the time that its client says.

    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
    """

    def __init__(self, credentials: Credentials, date: str) -> None:
        super().__init__(credentials)
        self._date = date

    def _get_date(self) -> str:
        return self._date

    def signature_of(self, environ: Environ, query: Mapping[str, str]) -> str:
        headers: Any = HTTPHeaders()  # as botocore makes them; its stubs tell of a mapping
        for name, value in EnvironHeaders(environ).items():
            headers[name] = value
        for name, value in query.items():
            if name.startswith("x-amz-"):
                headers[name] = value
        path, _, sent = _target(environ).partition("?")
        bucket = posts.bucket_of_host(environ)
        place = f"/{bucket}{path}" if bucket else path
        if re.fullmatch("/[^/]+", place):
            place += "/"  # of a bucket itself
        return str(self.get_signature(environ["REQUEST_METHOD"], SplitResult("", "", path, sent, ""), headers, auth_path=place))  # fmt: skip


def _target(environ: Environ) -> str:
    """Return the path and the query of a request, as they were sent."""
    sent = str(environ["REQUEST_URI"])
    if sent.startswith("/"):
        return sent
    return re.sub("^[a-zA-Z]+://[^/?]*", "", sent)


def _quoted(text: str) -> str:
    return quote(unquote(text), safe="-_.~")
