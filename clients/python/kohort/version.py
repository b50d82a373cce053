"""The version of the SDK."""

__version__ = "0.1.0"

API_VERSION = "v1"
"""The version of the contract that this SDK speaks."""
