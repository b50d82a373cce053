"""Databases of either kind for the tests of operating."""

from tests.core.conftest import database_url, postgres_server, postgres_url

__all__ = ["database_url", "postgres_server", "postgres_url"]
