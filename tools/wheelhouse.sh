#!/usr/bin/env bash
# Fills a directory with all that an installation without a network needs: tools/wheelhouse.sh DIR [serve|work]
# `serve` is a node that serves and samples; `work` trains and evaluates, too (gigabytes: torch is among it).
# Run it with the Python, and on the kind of machine, that will install it. PYTHON names the interpreter.
set -euo pipefail
usage="usage: tools/wheelhouse.sh DIR [serve|work]"
out=${1:?$usage} set=${2:-serve}
[[ $set == serve || $set == work ]] || { echo "$usage" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
[[ -z $(ls -A "$out") ]] || { echo "$out is not empty" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

# Wheels only: nothing is compiled where they are installed, and nothing runs a setup.py.
pip download --dest "$out" --no-deps --require-hashes --only-binary :all: -r "$root/requirements/$set.txt"
if [[ $set == work ]]; then # outside the hashed lock: which build of it, the index says
  sed -n 's/ \\$//; /^[a-z]/p' "$root/requirements/work.txt" > "$work/versions.txt" # without hashes, which torch has none of
  pip download --dest "$out" --only-binary :all: -c "$work/versions.txt" -r "$root/requirements/torch.txt"
fi

# Kohort's own, from a copy: building leaves nothing in the tree.
pip install --require-hashes --only-binary :all: -r "$root/deploy/image/build.txt"
tar -C "$root" --exclude-vcs --exclude './.venv*' --exclude ./build --exclude './clients/[!p]*' --exclude ./var \
  --exclude ./out --exclude ./dist --exclude '*.egg-info' --exclude __pycache__ -cf - . | tar -C "$work" --one-top-level=tree -xf -
pip wheel --no-deps --no-build-isolation --wheel-dir "$out" "$work/tree/clients/python" "$work/tree"

# One lock of every wheel that is here, each with its hash.
(
  cd "$out"
  "$work/venv/bin/python" - > lock.txt << 'END'
import hashlib
import pathlib

for wheel in sorted(pathlib.Path().glob("*.whl")):
    name, version = wheel.name.split("-")[:2]
    print(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
END
  sha256sum -- *.whl lock.txt > SHA256SUMS
)
echo "$(find "$out" -name '*.whl' | wc -l) wheels, $(du -sh "$out" | cut -f1): $out"
