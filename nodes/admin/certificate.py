"""The server's own TLS: a certificate and its key, read again when they have been renewed on disk.

A renewed pair that cannot be used is told once, and the one before goes on. TLS 1.2 and up with the ciphers that `ssl`
recommends.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from nodes.errors import NodeError
from nodes.telemetry import logs

log = logs.get(__name__)


class NoCertificate(NodeError):
    """The certificate or key that the configuration names cannot be used."""


class Certificate:
    """What new connections are to speak. Raises: NoCertificate, when there is none to begin with."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = {"certificate": certificate, "key": key}
        self._seen = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection that begins now."""
        if (seen := self._look()) != self._seen:
            self._seen = seen
            try:
                self._context = self._load()
                log.info("certificate.renewed")
            except NoCertificate as error:
                log.error("certificate.unusable", error=str(error))
        return self._context

    def _look(self) -> list[float]:
        return [file.stat().st_mtime if file.exists() else 0.0 for file in self._files.values()]

    def _load(self) -> ssl.SSLContext:
        for name, file in self._files.items():
            if not os.access(file, os.R_OK):
                raise NoCertificate(f"desk.{name}: {file}: is not there, or not ours to read")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._files["certificate"], self._files["key"], password=_nobody_types)
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            raise NoCertificate(f"desk.certificate, desk.key: {error}") from error
        return context


def _nobody_types() -> str:
    raise ValueError("the key has a password, and nobody is there to type it")


__all__ = ["Certificate", "NoCertificate"]
