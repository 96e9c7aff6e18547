#!/bin/sh
# Installs from Debian what the lab runs, where it is missing; with the word `containers`, what
# the scope in containers needs, too, and with `audit`, what audits it.  The services of the machine
# are neither started nor configured: the lab starts its own.
set -eu

missing=""
need() { # path package
    [ -e "$1" ] || missing="$missing $2"
}
need /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
need /usr/sbin/sshd openssh-server
need /usr/bin/ssh openssh-client
need /usr/bin/man man-db
need /usr/bin/promtool prometheus
need /usr/sbin/haproxy haproxy
need /usr/sbin/keepalived keepalived
need /usr/bin/socat socat
need /usr/bin/age age
need /usr/bin/chromium chromium
need /usr/bin/chromedriver chromium-driver
need /usr/share/i18n/locales/fr_CA locales
case " $* " in *" containers "*)
    need /usr/bin/podman podman
    need /usr/sbin/runc runc
    need /usr/lib/podman/netavark netavark
    need /usr/sbin/iptables iptables
    need /usr/bin/mmdebstrap mmdebstrap
    ;;
esac
case " $* " in *" audit "*)
    need /usr/bin/nmap nmap
    need /usr/bin/testssl testssl.sh
    need /usr/bin/hexdump bsdextrautils
    need /usr/bin/dig bind9-dnsutils
    need /usr/sbin/lynis lynis
    ;;
esac
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

run=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "as root, do: apt-get install$missing" >&2; exit 1; }
    run=sudo
fi
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # Debian starts a service when its package is installed, unless this says no (101).
    printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null
    $run chmod 755 "$policy"
    trap '$run rm -f "$policy"' EXIT
fi
echo "installing from Debian:$missing"
$run apt-get update -qq
# shellcheck disable=SC2086  a list of packages
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
