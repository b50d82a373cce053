#!/bin/sh
# Makes /opt/kohort with what a target needs of others' packages: dependencies.sh serve|cpu|cuda.
# Run in the root of this repository, in the builder. Where the packages come from is pip's configuration.
set -eu
target=$1
python3 -m venv --without-pip /opt/kohort
python3 -m venv /opt/pip
pip() { /opt/pip/bin/python -m pip --disable-pip-version-check --python /opt/kohort/bin/python "$@"; }
case $target in
  serve) lock=serve ;;
  cpu | cuda)
    lock=work
    # Outside the hashed lock: which build it is, the index says.
    pip install --quiet --no-compile --only-binary :all: -r requirements/torch.txt
    cuda=$(/opt/kohort/bin/python -c 'import torch; print(torch.version.cuda or "")')
    if [ "$target" = cpu ] && [ -n "$cuda" ]; then
      echo "The index gave torch for CUDA $cuda; the target cpu needs one that offers torch's CPU build." >&2
      exit 1
    elif [ "$target" = cuda ] && [ -z "$cuda" ]; then
      echo "The index gave torch without CUDA; the target cuda needs one that offers torch's CUDA build." >&2
      exit 1
    fi
    ;;
  *)
    echo "usage: dependencies.sh serve|cpu|cuda" >&2
    exit 2
    ;;
esac
# No source distribution: nothing is compiled here, and nothing runs a setup.py.
pip install --quiet --no-compile --no-deps --require-hashes --only-binary :all: -r "requirements/$lock.txt"
