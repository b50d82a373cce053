#!/bin/sh
# Builds the wheels of this repository into /wheels. Run in its root, in the builder.
set -eu
python3 -m venv /opt/build
pip() { /opt/build/bin/python -m pip --disable-pip-version-check "$@"; }
pip install --quiet --require-hashes --only-binary :all: -r deploy/image/build.txt
pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels ./clients/python .
