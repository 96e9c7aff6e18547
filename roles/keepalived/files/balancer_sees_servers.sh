#!/bin/sh
# Whether this load balancer can serve users, from where it stands: HAProxy answers, and one of its
# servers at least is up by its last check.  A drained one counts: its sessions go on.
# keepalived runs it every second; with status 1 twice, the host releases its addresses.
# balancer-sees-servers [SOCKET]
echo 'show stat -1 4 -1' |
    timeout 2 socat -T 1 -t 1 - "UNIX-CONNECT:${1:-/run/haproxy/stats.sock}" 2>/dev/null |
    awk -F, '
        NR == 1 { for (n = 1; n <= NF; n++) column[$n] = n; next }
        # A server that only was up has already failed a check: "UP 2/3".  INI: not checked yet.
        $column["status"] ~ /^(UP|DRAIN|no check)/ && $column["check_status"] ~ /(OK|OKC|INI|^)$/ { up++ }
        END { exit !up }'
