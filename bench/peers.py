"""The peers: programs that are compared with ours, and the commands that start them.

Each has the fastest options that we found, unless its name says otherwise.  ``Stage.values`` has
the values of the names in braces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Peer:
    """How a peer is started, and what it can do.

    ``large``: the command for one large file.  ``small``: the command for many small files, if
    different.  ``encrypted``: it encrypts the content.  ``sftp``: an SFTP server suffices at the
    other end.  ``pipelined``: it does not wait for one file before it sends the next, so it can
    send many files over a line with a long round trip.  ``prints_seconds``: the time is what it
    prints last, not that of the whole command.  ``needs``: the option with the path of a program
    for which there is no package.
    """

    large: str
    small: str = ""
    encrypted: bool = True
    sftp: bool = True
    pipelined: bool = False
    prints_seconds: bool = False
    needs: str = ""

    def template(self, *, many: bool) -> str:
        """Return the command for many files or for one, with names in braces."""
        return self.small if many and self.small else self.large


OURS: Final = "sarra_lite"
POOL: Final = "sarra_lite, open pool"
BROKER: Final = "sarra_lite, broker"
SR3_BROKER: Final = "sr3, broker"

_ENGINE: Final = "{python} -m bench.engine {source} {url} {dest} {key} {known_hosts}"
_SFTP: Final = "sftp -q {ssh} %s -b {batch} -P {port} {login}"
_SCP: Final = "scp -q -r -P {port} {gcm} {ssh} {source}/. {there}"
_RSYNC: Final = "rsync -rW --inplace -e 'ssh -p {port} {gcm} {ssh}' {source}/ {there}"
_RCLONE: Final = (
    "{rclone} copy --sftp-disable-hashcheck --sftp-chunk-size 255k --sftp-shell-type none"
    " --ignore-checksum --transfers %d --checkers 16 {source} :sftp:{dest}"
)
_LFTP: Final = (
    'lftp -c \'set sftp:connect-program "ssh -a -x {gcm} {ssh}"; set sftp:max-packets-in-flight'
    " 64; set sftp:size-write 65536; set net:max-retries 1; set cmd:fail-exit yes;"
    " open sftp://{user}:x@{address}:{port}; mirror -R -P8 {source} {dest}'"
)
_CLIENT: Final = "%s {clients}/%s.py {address} {port} {user} {key} {known_hosts} {source} {dest}"
_MSCP: Final = "{mscp} -q -n %d -c {cipher} -P {port} -i {key} -o UserKnownHostsFile={known_hosts}"
_BBCP: Final = "-S 'ssh -x -p {port} {ssh} %I -l %U %H {bbcp}' -T 'ssh -x -p {port} {ssh} %I -l %U"

PEERS: Final[dict[str, Peer]] = {
    OURS: Peer(_ENGINE, pipelined=True),
    POOL: Peer(f"{_ENGINE} --open", pipelined=True, prints_seconds=True),
    "sftp": Peer(_SFTP % ""),
    "sftp tuned": Peer(_SFTP % "{gcm} -R256 -B261120"),
    "scp": Peer(_SCP),  # over SFTP since OpenSSH 9.0
    "rsync": Peer(_RSYNC, sftp=False, pipelined=True),
    "rclone": Peer(_RCLONE % 4, _RCLONE % 16),
    "lftp": Peer(_LFTP),
    "asyncssh": Peer(_CLIENT % ("{bench_python}", "asyncssh_put"), pipelined=True),
    "paramiko": Peer(_CLIENT % ("{sr3_python}", "paramiko_put")),
    "sr3": Peer(_CLIENT % ("{sr3_python}", "sr3_put")),
    "gridftp": Peer(
        "globus-url-copy -fast -p 4 file://{source}/d0/f0 {gridftp}d0/f0",
        "globus-url-copy -fast -r -cd -pp -cc 4 file://{source}/ {gridftp}",
        encrypted=False,
        sftp=False,
    ),
    "mscp": Peer(
        f"{_MSCP % 8} {{source}}/d0 {{there}}",
        f"{_MSCP % 8} {' '.join(f'{{source}}/d{n}' for n in range(10))} {{there}}",
        needs="mscp",
    ),
    "bbcp": Peer(
        f"{{bbcp}} -f -s 8 {_BBCP} %H {{bbcp}}' {{source}}/d0/f0 {{there}}d0/f0",
        f"{{bbcp}} -f -r -s 8 {_BBCP} %H {{bbcp}}' {{source}}/ {{there}}",
        encrypted=False,
        sftp=False,
        needs="bbcp",
    ),
}


def chosen(names: list[str], programs: dict[str, str]) -> dict[str, Peer]:
    """Return the peers with these names that can be started; of all peers if no name is given."""
    return {
        name: peer
        for name, peer in PEERS.items()
        if (not names or name in names) and (not peer.needs or peer.needs in programs)
    }
