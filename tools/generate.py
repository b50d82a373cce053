"""Generates the Python stubs of the contract into clients/python (`make proto`).

Run by the interpreter of an environment that holds exactly tools/protoc.txt:
the version of grpcio-tools decides which protobuf and grpcio the stubs need.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def generate(target: Path) -> None:
    """Writes `kohort/v1/*_pb2*.py[i]` below `target`."""
    out = target / "kohort" / "v1"
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("*_pb2*.py"), *out.glob("*_pb2*.pyi")]:
        old.unlink()
    protos = sorted(str(p.relative_to(ROOT / "protos")) for p in (ROOT / "protos").rglob("*.proto"))
    bin_dir = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={ROOT / 'protos'}",
            f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
            f"--python_out={target}",
            f"--mypy_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out={target}",
            *protos,
        ],
        check=True,
    )
    # Files without a service need no gRPC module.
    for module in out.glob("*_pb2_grpc.py"):
        if "Servicer" not in module.read_text():
            module.unlink()
            module.with_suffix(".pyi").unlink(missing_ok=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "clients" / "python")
