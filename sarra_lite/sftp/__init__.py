"""An SFTP client over the ssh program or paramiko.  Alone imports paramiko."""
