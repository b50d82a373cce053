"""Databases of either kind, workers and servers for the tests of operating."""

from tests.core.conftest import bench, database_url, postgres_server, postgres_url
from tests.server.conftest import start

__all__ = ["bench", "database_url", "postgres_server", "postgres_url", "start"]
