"""A store on loopback that speaks S3 (moto's), and what is kept beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from nodes.config_storage import Storage
from nodes.storage.sealing import Key, Ring
from nodes.storage.store import Store


@dataclass
class Bucket:
    """A bucket of the server's, seen by another client than ours."""

    settings: Storage
    client: object

    @property
    def keys(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.settings.bucket).get("Contents", ())]

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.settings.bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.settings.bucket, Key=key)["Body"].read()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Where the server is."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def settings(server: str, tmp_path: Path) -> Storage:
    """A bucket that is not there yet, of this test alone."""
    secret = tmp_path / "s3.secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    name = f"b{os.urandom(6).hex()}"
    return Storage(bucket=name, endpoint=server, access_key="AK", secret=secret, prefix="rm/")


@pytest.fixture(scope="session")
def client(server: str) -> Iterator[object]:
    """Another client than ours."""
    made = boto3.session.Session().client(
        "s3", endpoint_url=server, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    yield made
    made.close()


@pytest.fixture
def bucket(settings: Storage, client: object) -> Bucket:
    """It is there."""
    client.create_bucket(Bucket=settings.bucket)
    return Bucket(settings, client)


@pytest.fixture
def store(bucket: Bucket) -> Iterator[Store]:
    made = Store(bucket.settings)
    yield made
    made.close()


@pytest.fixture
def store_at(settings: Storage) -> Iterator[Callable[[str], Store]]:
    """Makes a store of another address."""
    made: list[Store] = []

    def make(endpoint: str) -> Store:
        made.append(Store(replace(settings, endpoint=endpoint)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def ring() -> Ring:
    key = Key.of(bytes(range(32)))
    return Ring({"": key}, {key.id: key})
