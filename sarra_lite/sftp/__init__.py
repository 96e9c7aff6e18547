"""SFTP client over the ssh program or paramiko; no other package imports paramiko.

Sections in docstrings are those of draft-ietf-secsh-filexfer-02, which is version 3 of SFTP.
PROTOCOL is the file of that name in OpenSSH 10; it describes OpenSSH's extensions.
"""
