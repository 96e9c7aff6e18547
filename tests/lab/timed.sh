#!/bin/sh
# Runs a command and says how long it took:  timed.sh "what it is" COMMAND...
# Of one that fails, what pytest and Ansible said of it stands again below, where it is looked for.
set -u
what=$1
shift
said=$(mktemp)
trap 'rm -f "$said"' EXIT
began=$(date +%s)
{ "$@" 2>&1; echo $? >"$said.status"; } | tee "$said"
status=$(cat "$said.status")
rm -f "$said.status"
seconds=$(($(date +%s) - began))
if [ "$status" != 0 ]; then
    echo "$what, in short:"
    sed 's/\x1b\[[0-9;]*m//g' "$said" |
        grep -E '^ *(E  |(FAILED|ERROR) tests/|tests/.*: [A-Z][A-Za-z]*|fatal: |.*│ +(E  |(FAILED|ERROR) tests/|fatal: |failed: |\[ERROR\]|msg: ))' |
        cut -c1-500 | tail -n 60
fi
echo "$what: $((seconds / 60)) min $((seconds % 60)) s, exit status $status"
exit "$status"
