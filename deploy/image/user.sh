#!/bin/sh
# The user of the image, and the one directory it writes to: user.sh UID.
set -eu
groupadd --gid "$1" kohort
useradd --uid "$1" --gid "$1" --home-dir /var/lib/kohort --no-create-home --shell /usr/sbin/nologin kohort
install -d -o "$1" -g "$1" -m 0750 /var/lib/kohort
