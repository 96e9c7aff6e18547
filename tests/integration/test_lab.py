"""The lab: the private RabbitMQ, sshd and small disks that the other tests use."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pika
import pika.exceptions
import pytest

from tests.lab import LabError
from tests.lab.disks import remount_read_only, small_disk
from tests.lab.processes import Process, alive, find_program, wait_until
from tests.lab.rabbitmq import Rabbit, User
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@contextmanager
def sftp_client(sshd: Sshd) -> Iterator[paramiko.SFTPClient]:
    """Log in with the key of the lab; only the host key of that sshd is trusted."""
    known_hosts = sshd.directory / "known_hosts"
    known_hosts.write_text(sshd.host_key_line + "\n")
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(str(known_hosts))
        ssh.connect(
            sshd.address,
            sshd.port,
            sshd.user,
            key_filename=str(sshd.user_key),
            allow_agent=False,
            look_for_keys=False,
        )
        with ssh.open_sftp() as sftp:
            yield sftp


def processes_of(directory: Path) -> list[str]:
    """Return the command lines of processes that have the directory in arguments or environment."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            text = command + (process / "environ").read_bytes()
        except OSError:  # ended meanwhile, or of another user
            continue
        if command and os.fsencode(directory) in text:
            commands.append(command.replace(b"\0", b" ").decode())
    return commands


def test_a_user_may_declare_and_publish_only_what_its_permissions_allow(rabbit: Rabbit) -> None:
    rabbit.add_user(
        "ann", "pass/word: å", configure="^q_ann", write="^q_ann|amq.default", read="^q_ann"
    )
    with rabbit.channel("ann", "pass/word: å") as channel:
        channel.queue_declare("q_ann_1")
        channel.basic_publish("", "q_ann_1", b"x")
        wait_until(lambda: rabbit.queues()["q_ann_1"] == 1, "the message is in the queue")
        channel.queue_delete("q_ann_1")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            channel.queue_declare("q_bob")


def test_a_user_added_again_has_the_new_password_and_permissions(rabbit: Rabbit) -> None:
    rabbit.add_users(User("bob", "old"), User("cid", "pw"))
    rabbit.add_user("bob", "new", configure="^q_bob")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError), rabbit.channel("bob", "old"):
        pass
    with rabbit.channel("bob", "new") as channel:
        channel.queue_declare("q_bob")
        channel.queue_delete("q_bob")


def test_the_node_offers_tls_with_a_certificate_of_the_labs_authority(rabbit: Rabbit) -> None:
    tls = pika.SSLOptions(ssl.create_default_context(cafile=rabbit.ca_file), rabbit.address)
    parameters = pika.ConnectionParameters(
        rabbit.address,
        rabbit.tls_port,
        credentials=pika.PlainCredentials("admin", rabbit.admin_password),
        ssl_options=tls,
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("secret", exclusive=True)
        channel.basic_publish("", "secret", b"x", mandatory=True)


def test_connections_closed_by_the_lab_are_closed_for_the_client(rabbit: Rabbit) -> None:
    with rabbit.channel() as channel:
        rabbit.close_all_connections()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            channel.queue_declare("never", exclusive=True)


def test_a_short_consumer_timeout_closes_the_channel(
    rabbit: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pika")
    with rabbit.consumer_timeout(300), rabbit.channel() as channel:
        channel.queue_declare("slow", exclusive=True)
        channel.basic_publish("", "slow", b"x")
        channel.basic_consume("slow", lambda *_: None)
        start = time.monotonic()
        while channel.is_open and time.monotonic() < start + 5:
            channel.connection.process_data_events(0.05)
        assert 0.3 <= time.monotonic() - start < 2
    assert "delivery acknowledgement on channel 1 timed out" in caplog.text


def test_a_node_keeps_persistent_messages_over_stop_and_kill_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    with Rabbit(tmp_path, consumer_timeout_ms=300) as rabbit:
        with rabbit.channel() as channel:
            channel.confirm_delivery()
            channel.queue_declare("kept", durable=True)
            channel.basic_publish("", "kept", b"x", PERSISTENT)
        assert processes_of(tmp_path)
        rabbit.stop()
        assert processes_of(tmp_path) == []
        rabbit.start()
        assert rabbit.queues() == {"kept": 1}
        assert rabbit.evaluate("application:get_env(rabbit, consumer_timeout)") == "{ok,300}"
        rabbit.freeze()
        rabbit.kill()
        assert processes_of(tmp_path) == []
        rabbit.start()
        assert rabbit.queues() == {"kept": 1}
        assert rabbit.ctl("list_queues", "name", "messages", "--no-table-headers") == "kept\t1\n"
        addresses = "[A || P <- erlang:ports(), {ok, {A, _}} <- [inet:sockname(P)]]"
        assert rabbit.evaluate(f"lists:usort({addresses})") == "[{127,0,0,1}]"
    assert processes_of(tmp_path) == []


def test_management_and_amqp_listen_at_another_loopback_address(tmp_path: Path) -> None:
    with Rabbit(tmp_path, address="127.0.0.77", port=5672, management=True) as rabbit:
        assert rabbit.management_port == 15672
        connection = http.client.HTTPConnection(rabbit.address, rabbit.management_port)
        secret = base64.b64encode(f"admin:{rabbit.admin_password}".encode()).decode()
        connection.request("GET", "/api/whoami", headers={"Authorization": f"Basic {secret}"})
        assert json.load(connection.getresponse())["name"] == "admin"
        connection.close()


def test_a_program_that_exits_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = Process([find_program("sh"), "-c", "echo alas; exit 3"], tmp_path / "log")
    with pytest.raises(LabError, match=r"(?s)status 3.*alas"):
        process.wait_ready(lambda: False)


def test_a_frozen_server_hangs_until_it_is_thawed(sshd: Sshd) -> None:
    with sftp_client(sshd) as sftp, ThreadPoolExecutor() as threads:
        sshd.freeze()
        answer = threads.submit(sftp.stat, "/")
        with pytest.raises(FutureTimeoutError):
            answer.result(timeout=0.5)
        sshd.thaw()
        assert answer.result(timeout=5)


def test_dropped_sessions_end_and_new_ones_are_accepted(sshd: Sshd) -> None:
    with sftp_client(sshd) as sftp:
        sshd.drop_sessions()
        with pytest.raises((OSError, paramiko.SSHException)):
            sftp.stat("/")
    with sftp_client(sshd) as sftp:
        assert sftp.stat("/")


def test_a_stopped_server_leaves_no_session_and_can_be_started_again(tmp_path: Path) -> None:
    with Sshd(tmp_path) as sshd:
        with sftp_client(sshd) as sftp:
            before = sshd.pids()
            assert len(before) > 1
            sshd.stop()
            with pytest.raises((OSError, paramiko.SSHException)):
                sftp.stat("/")
        assert alive(before) == set()
        sshd.start()
        with sftp_client(sshd) as sftp:
            assert sftp.stat("/")
    assert processes_of(tmp_path) == []


def test_a_small_disk_can_be_filled_and_made_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        (disk / "a").write_bytes(bytes(32 * 1024))
        with pytest.raises(OSError, match="No space left"):
            (disk / "b").write_bytes(bytes(64 * 1024))
        remount_read_only(disk)
        with pytest.raises(OSError, match="Read-only"):
            (disk / "c").touch()
    assert not (tmp_path / "disk" / "a").exists()
