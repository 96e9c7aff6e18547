#!/bin/bash
# Mounts a file system again that failed:  keep-mounted UNIT DIRECTORY
# systemd does not try a mount a second time, and does not see that the program behind it has ended.
# A unit that was stopped stays stopped.
set -u
export LC_ALL=C

while sleep 10; do
    if systemctl --quiet is-failed "$1"; then
        echo "$1 has failed: mounting it again"
    elif timeout 20 stat --file-system "$2" 2>&1 >/dev/null | grep --quiet 'endpoint is not connected'; then
        echo "$2 has lost its file system: mounting it again"
        systemctl stop "$1"
    else
        continue
    fi
    systemctl start "$1"
done
