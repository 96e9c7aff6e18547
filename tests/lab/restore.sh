#!/bin/sh
# Backs a scope in containers up, loses it, and restores it: the scenario molecule/restore, on a copy of
# inventories/single in a temporary directory.  The containers are those of the scenario single.
set -eu
SARRA_RESTORE=$(mktemp -d)
export SARRA_RESTORE
trap 'rm -rf "$SARRA_RESTORE"' EXIT
cp -aL inventories/single "$SARRA_RESTORE/inventory"
rm -rf "$SARRA_RESTORE/inventory/secrets" "$SARRA_RESTORE/inventory/backups" \
    "$SARRA_RESTORE/inventory/group_vars/all/secrets.yml"
age-keygen -o "$SARRA_RESTORE/identity" 2>/dev/null
cat > "$SARRA_RESTORE/arguments.yml" <<EOF
backup_recipient: $(age-keygen -y "$SARRA_RESTORE/identity")
backup_dir: $SARRA_RESTORE/backups
backup_files: true
backup_left: [lab]
backup: "{{ lookup('ansible.builtin.pipe', 'echo $SARRA_RESTORE/backups/2*') }}"
backup_identity: $SARRA_RESTORE/identity
go: true
EOF
molecule test -s restore
