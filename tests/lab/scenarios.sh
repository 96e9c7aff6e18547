#!/bin/sh
# Both scenarios of molecule, each with its time.  While the scope on one host is installed and tested,
# the one on nine hosts is installed, and installed again without a change.  That one, whose tests measure
# rates and failovers, is tested alone then.  What was started is removed, however this ends.
set -u
timed=tests/lab/timed.sh
said=$(mktemp)
trap 'rm -f "$said"; for each in single default; do molecule destroy -s $each; done >/dev/null 2>&1' EXIT
one=
trap '[ -z "$one" ] || kill "$one"; exit 130' INT TERM

$timed "the scope on one host" molecule test -s single >"$said" 2>&1 &
one=$!
$timed "the scope on nine hosts, installed twice" sh -ec '
    for step in destroy syntax create prepare converge idempotence; do molecule $step -s default; done'
installed=$?
wait $one
status=$?
cat "$said"
[ $status = 0 ] && [ $installed = 0 ] || exit 1
$timed "the tests of the scope on nine hosts" molecule verify -s default
