"""Ansible module that gives a member of RabbitMQ's cluster replicas of all queues and streams.

Queues and streams do not get replicas on a member that joins later, and keep those on one that has
gone: without this, they lose their majority one member sooner than the cluster.
"""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: broker_replicas
short_description: Give a member replicas of all queues and streams, or take them away
description:
  - Runs on a member that is online.  All replicas are changed in two steps, not one by one, since a
    scope may have thousands.
options:
  member: {description: Name of the member's node., type: str, required: true}
  state: {description: What it shall have., type: str, choices: [all, none], default: all}
"""
LIST = ("rabbitmqctl", "--quiet", "list_queues", "name", "type", "members", "--formatter", "json")
# There is no command for all streams.  Source: rabbit_stream_queue of RabbitMQ 3.10 and 4.0.
STREAMS = """\
[begin
   {{resource, Host, queue, Name}} = amqqueue:get_name(Q),
   {{Name, rabbit_stream_queue:{call}(Host, Name, '{member}')}}
 end || Q <- rabbit_amqqueue:list(),
        amqqueue:get_type(Q) == rabbit_stream_queue,
        {has}lists:member('{member}', maps:get(nodes, amqqueue:get_type_state(Q)))].
"""
QUEUES = {"all": ("grow", "{member}", "all"), "none": ("shrink", "{member}")}
CALLS = {"all": ("add_replica", "not "), "none": ("delete_replica", "")}


def lacking(listed: str, member: str, state: str) -> list[str]:
    """Return queues and streams that have, or lack, a replica on a member, of list_queues."""
    return sorted(
        each["name"]
        for each in json.loads(listed)
        if each["type"] in ("quorum", "stream") and (member in each["members"]) != (state == "all")
    )


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "member": {"type": "str", "required": True},
            "state": {"choices": ["all", "none"], "default": "all"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    member, state = given["member"], given["state"]

    def run(*command: str) -> str:
        code, out, err = module.run_command([*command])
        if code:
            module.fail_json(msg=f"{' '.join(command[:3])}: {(err or out).strip()[:500]}")
        return str(out)

    before = lacking(run(*LIST), member, state)
    if before and not module.check_mode:
        words = (word.format(member=member) for word in QUEUES[state])
        run("rabbitmq-queues", "--quiet", *words)
        call, has = CALLS[state]
        run("rabbitmqctl", "--quiet", "eval", STREAMS.format(member=member, call=call, has=has))
        if after := lacking(run(*LIST), member, state):
            module.fail_json(msg=f"still not on {member} as wanted ({state}): {', '.join(after)}")
    module.exit_json(changed=bool(before), queues=before)


if __name__ == "__main__":
    main()
