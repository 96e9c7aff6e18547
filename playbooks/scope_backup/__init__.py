"""What playbooks/backup.yml and playbooks/restore.yml do on the control machine.

They run it as a program: ``python -m playbooks.scope_backup``.
"""
