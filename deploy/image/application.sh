#!/bin/sh
# Puts the wheels of /wheels into /opt/kohort, checks that all fits, and compiles the modules. In the builder.
set -eu
pip() { /opt/pip/bin/python -m pip --disable-pip-version-check --python /opt/kohort/bin/python "$@"; }
pip install --quiet --no-compile --no-deps --no-index /wheels/*.whl
pip check
site=$(/opt/kohort/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# By content, unchecked: the same bytes from the same sources, and no look at the sources at a start.
compile() { /opt/kohort/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@"; }
compile "$site" > /dev/null || true # others bring modules for later Pythons
cat "$site"/kohort*.dist-info/top_level.txt | while read -r package; do compile "$site/$package"; done
