#!/bin/sh
# Runs a command and says how long it took:  timed.sh "what it is" COMMAND...
set -u
what=$1
shift
began=$(date +%s)
"$@"
status=$?
seconds=$(($(date +%s) - began))
echo "$what: $((seconds / 60)) min $((seconds % 60)) s, exit status $status"
exit $status
