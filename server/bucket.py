"""Connections to one bucket, by obstore: credentials, patience, and errors as `server.blobs` has them."""

from __future__ import annotations

import configparser
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from kohort.problem import Problem
from server.blobs import BlobExistsError, BlobMissingError, BlobPlace
from server.secretfiles import read_secret

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Credential

MUTE = "the object store does not answer"
"""What a Problem says when a call may have been heard or not."""
_CLIENT: ClientConfig = {"connect_timeout": "3s", "read_timeout": "30s", "timeout": "120s"}
_RETRY: RetryConfig = {
    "max_retries": 4,
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
    "retry_timeout": timedelta(seconds=20),
}
# A health check waits for no longer than this twice.
_PROBE_CLIENT: ClientConfig = {"connect_timeout": "2s", "timeout": "4s"}
_PROBE_RETRY: RetryConfig = {**_RETRY, "max_retries": 1, "retry_timeout": timedelta(seconds=5)}
_NO_RETRY: RetryConfig = {**_RETRY, "max_retries": 0}
# Of what a store answers with: its text is matched, never passed on.
_FULL = ("<Code>QuotaExceeded", "<Code>XMinioStorageFull", "InsufficientCapacity", "507 Insufficient Storage")
_REFUSED = ("401 Unauthorized", "403 Forbidden", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken")


log = structlog.get_logger(log="blobs")


class Bucket:
    """Clients of one bucket in three tempers, made anew when the credentials file changes.

    Raises:
        ValueError: a file that the place names cannot be read, or others may read the credentials.
    """

    def __init__(self, place: BlobPlace) -> None:
        self._place = place
        self._file = Path(place.credentials_file) if place.credentials_file else None
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._made: tuple[S3Store, S3Store, S3Store] | None = None
        if place.endpoint.startswith("http://") and not _is_loopback(place.endpoint):
            log.warning("bucket not encrypted on the way", endpoint=place.endpoint)
        try:
            self._authority = Path(place.ca_file).read_bytes() if place.ca_file else None
        except OSError as error:
            raise ValueError(f"blob_ca_file: {error.strerror}") from error
        self._current()  # what is wrong is told at the start

    @property
    def patient(self) -> S3Store:
        """Tries again what may be done twice."""
        return self._current()[0]

    @property
    def once(self) -> S3Store:
        """Tries once, so that who creates knows whether an answer was lost."""
        return self._current()[1]

    @property
    def probe(self) -> S3Store:
        """Gives up soon."""
        return self._current()[2]

    def _current(self) -> tuple[S3Store, S3Store, S3Store]:
        with self._lock:
            seen = None
            if self._file is not None:
                try:
                    facts = self._file.stat()
                except OSError as error:
                    raise ValueError(f"blob_credentials_file: {error.strerror}") from error
                # The size too: clocks of file systems tick in milliseconds.
                seen = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
            if self._made is None or seen != self._seen:
                credential = _credential(self._file) if self._file is not None else None
                tempers = ((_CLIENT, _RETRY), (_CLIENT, _NO_RETRY), (_PROBE_CLIENT, _PROBE_RETRY))
                patient, once, probe = (self._open(credential, *temper) for temper in tempers)
                self._made, self._seen = (patient, once, probe), seen
            return self._made

    def _open(self, credential: S3Credential | None, client: ClientConfig, retry: RetryConfig) -> S3Store:
        place, url = self._place, urlsplit(self._place.url)
        options: ClientConfig = {**client, "allow_http": place.endpoint.startswith("http://")}
        if self._authority is not None:
            options["root_certificate"] = self._authority
        config: dict[str, Any] = {"copy_if_not_exists": "multipart"}
        if place.endpoint:
            config["endpoint"] = place.endpoint
        if place.region:
            config["region"] = place.region
        if credential is not None:
            # By a callback: in the settings of a store its secret would be told with them.
            config["credential_provider"] = lambda: credential
        try:
            prefix = url.path.strip("/") or None
            return S3Store(url.netloc, prefix=prefix, client_options=options, retry_config=retry, **config)
        except BaseError:
            raise ValueError("blob_endpoint, blob_region or blob_ca_file is not of the right form") from None


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credential(path: Path) -> S3Credential:
    """Raises ValueError, which quotes nothing of the file."""
    try:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(read_secret(path, "blob_credentials_file"))
        section = parser["default"]
        return {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
            "token": section.get("aws_session_token"),
            "expires_at": None,
        }
    except OSError as error:
        raise ValueError(f"blob_credentials_file: {error.strerror}") from None
    except (KeyError, UnicodeDecodeError, configparser.Error):
        raise ValueError(
            "blob_credentials_file must hold aws_access_key_id and aws_secret_access_key below [default]"
        ) from None


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors as `BlobStore` has them; those of obstore quote addresses and keys, and go no further."""
    try:
        yield
    except AlreadyExistsError:
        raise BlobExistsError(key) from None
    except FileNotFoundError as error:
        if "NoSuchBucket" not in str(error):
            raise BlobMissingError(key) from None
        raise _problem(str(error)) from None
    except BaseError as error:
        raise _problem(str(error)) from None
    except ValueError as error:  # of the credentials file
        raise Problem("STORE_UNAVAILABLE", str(error), retry_after=5.0) from None


def _problem(said: str) -> Problem:
    if any(sign in said for sign in _FULL):
        return Problem("STORAGE_FULL", "the object store has no room left", retry_after=30.0)
    message = MUTE
    if "NoSuchBucket" in said:
        message = "the bucket does not exist"
    elif "RequestTimeTooSkewed" in said:
        message = "the clocks of this machine and of the object store differ"
    elif any(sign in said for sign in _REFUSED) or "PermissionDenied" in said:
        message = "the object store refuses the credentials"
    return Problem("STORE_UNAVAILABLE", message, retry_after=1.0)
