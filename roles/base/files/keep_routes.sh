#!/bin/bash
# Sets the rules and routes of a file, and keeps them:  keep-routes FILE [once]
# A link that goes down takes routes with it, and programs that manage the network remove rules that
# are not theirs.  Each line of the file is what ip(8) adds:
#   rule PRIORITY WORDS...
#   route TABLE WORDS...    (the only one of its table)
set -u

is_there() { # kind number
    case $1 in
        rule) [ -n "$(ip -4 rule show priority "$2")" ] ;;
        route) [ -n "$(ip -4 route show table "$2" 2>/dev/null)" ] ;;
    esac
}

set_line() { # kind number words...
    local kind=$1 number=$2
    shift 2
    case $kind in
        rule) ip -4 rule add priority "$number" "$@" ;;
        route) ip -4 route replace table "$number" "$@" ;;
    esac
}

if [ "${2:-}" = once ]; then
    while read -r kind number words; do
        [ "$kind" = route ] || while ip -4 rule delete priority "$number" 2>/dev/null; do :; done
        # shellcheck disable=SC2086  a list of words
        set_line "$kind" "$number" $words || exit
    done <"$1"
    exit
fi
while sleep 5; do
    while read -r kind number words; do
        is_there "$kind" "$number" && continue
        # While a link is down, there is no way to a router; the next turn tries again.
        # shellcheck disable=SC2086  a list of words
        set_line "$kind" "$number" $words 2>/dev/null && echo "was gone, and is set again: $kind $number $words"
    done <"$1"
done
