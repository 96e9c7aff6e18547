#!/bin/sh
# Builds the image of the lab's hosts, Debian 13 with systemd and sshd, and prints its name.
# The packages of ahead.txt are downloaded but not installed: that is the roles' work.
# The name of the image contains a hash of its sources, so it is built only once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
CONTAINERS_CONF=$here/../containers.conf
export CONTAINERS_CONF

name=localhost/sarra-base:$(cat "$here/build.sh" \
     "$here"/*.conf "$here"/*.service "$here/base.txt" "$here/ahead.txt" | sha256sum | cut -c1-12)
if ! podman image exists "$name"; then
    base=$(grep -v '^#' "$here/base.txt" | paste -sd,)
    ahead=$(grep -v '^#' "$here/ahead.txt" | paste -sd' ')
    # The image has no host keys: each host creates its own when it starts.
    mmdebstrap --quiet --variant=minbase --include="$base" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --skip=cleanup/apt \
        --customize-hook='rm -f "$1"/etc/apt/apt.conf.d/docker-clean "$1"/etc/ssh/ssh_host_*' \
        --customize-hook='printf "127.0.0.1 localhost\n::1 localhost\n" > "$1"/etc/hosts' \
        --customize-hook='mkdir -p "$1"/etc/systemd/system/ssh.service.d' \
        --customize-hook="copy-in '$here/host-keys.conf' /etc/systemd/system/ssh.service.d" \
        --customize-hook="copy-in '$here/shared-mounts.service' /etc/systemd/system" \
        --customize-hook='chroot "$1" systemctl --quiet enable shared-mounts.service' \
        --customize-hook='chroot "$1" apt-get update --quiet=2' \
        --customize-hook="chroot \"\$1\" apt-get install --quiet=2 --yes --no-install-recommends --download-only $ahead" \
        trixie - |
        podman import --quiet --change 'CMD ["/lib/systemd/systemd"]' \
            --change 'STOPSIGNAL SIGRTMIN+3' - "$name" >&2
fi
echo "$name"
