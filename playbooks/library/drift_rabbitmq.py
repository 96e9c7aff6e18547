"""Ansible module that compares the settings that RabbitMQ runs with with its rabbitmq.conf."""

from __future__ import annotations

from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: drift_rabbitmq
short_description: Tell which settings of a running RabbitMQ are not those of its file
description:
  - RabbitMQ itself translates the file into settings, and compares them with those that it has,
    which an administrator can change at run time.
options:
  config: {description: The file., type: path, default: /etc/rabbitmq/rabbitmq.conf}
"""
SEPARATOR: Final = "\t"
MOST: Final = 100  # characters of a value that are told
# Prints a line for each setting that differs, but for those of the log, which become others at the
# start.  The threshold of memory is kept by the process that watches it.
EXPRESSION: Final = """
Schemas = filelib:wildcard(
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/*/priv/schema/*.schema"),
Conf = cuttlefish_conf:file("FILE"),
Wanted = cuttlefish_generator:map(cuttlefish_schema:files(Schemas), Conf),
Loaded = [App || {App, _, _} <- application:loaded_applications()],
Tell = fun(Name, Is, Should) ->
    io:format("~ts\\t~ts\\t~ts~n", [Name, Is, Should]) end,
Text = fun(Term) ->
    re:replace(io_lib:format("~0tp", [Term]), "\\\\s+", " ", [global, {return, list}]) end,
[case application:get_env(App, Key) of
     {ok, Value} -> same;
     {ok, Other} -> Tell(io_lib:format("~ts.~ts", [App, Key]), Text(Other), Text(Value));
     undefined -> Tell(io_lib:format("~ts.~ts", [App, Key]), "not set", Text(Value))
 end || {App, Pairs} <- Wanted, lists:member(App, Loaded), is_list(Pairs),
    {Key, Value} <- Pairs, {App, Key} =/= {rabbit, log}],
Memory = vm_memory_monitor:get_vm_memory_high_watermark(),
case application:get_env(rabbit, vm_memory_high_watermark) of
    {ok, Memory} -> same;
    {ok, {relative, Memory}} -> same;
    {ok, Wanted2} -> Tell("memory threshold", Text(Memory), Text(Wanted2))
end, done.
"""
Found = list[dict[str, str]]


def expression(config: str) -> str:
    """Return what rabbitmqctl evaluates."""
    return EXPRESSION.replace("FILE", config)


def findings(output: str) -> Found:
    """Return the settings of which lines of the output tell."""
    rows = (line.split(SEPARATOR) for line in output.splitlines())
    return [
        {"what": f"RabbitMQ: {row[0]}", "is": row[1][:MOST], "should": row[2][:MOST]}
        for row in rows
        if len(row) == 3  # noqa: PLR2004  name and two values
    ]


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"config": {"type": "path", "default": "/etc/rabbitmq/rabbitmq.conf"}},
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    command = ["rabbitmqctl", "--quiet", "--timeout", "60", "eval", expression(given["config"])]
    code, out, err = module.run_command(command)
    if code:
        module.fail_json(msg=f"rabbitmqctl eval: {(err or out).strip()[-300:]}")
    module.exit_json(found=findings(out))


if __name__ == "__main__":
    main()
