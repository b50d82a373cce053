#!/bin/sh
# Does the finished image hold what it should? Run as its user: check.sh serve|cpu|cuda.
set -eu
test "$(id -u)" -ne 0
for tool in cc gcc g++ clang make pip; do
  if command -v "$tool" > /dev/null; then
    echo "$tool does not belong into the image" >&2
    exit 1
  fi
done
python -c 'import server.__main__, kohort.bundle, onnxruntime, psycopg, obstore'
if [ "$1" = serve ]; then
  python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is not None)'
else
  python -c 'import torch, onnx, ray, evaluators.report, trainers, exporters'
fi
python -m server --help > /dev/null
