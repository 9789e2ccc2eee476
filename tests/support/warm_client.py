"""A program that runs a module in a process forked from a warm one: ``warm_client.py SOCKET MODULE WORDS...``.

It imports little, so that it starts in hundredths of a second. Its streams, folder and environment are the command's.
"""

import json
import os
import signal
import socket
import struct
import sys

place, module, *words = sys.argv[1:]
request = {"module": module, "arguments": words, "cwd": os.getcwd(), "env": dict(os.environ), "user": 0, "mounts": ""}  # noqa: PTH109
text = json.dumps(request).encode()
connection = socket.socket(socket.AF_UNIX)
connection.connect(place)
socket.send_fds(connection, [struct.pack("!I", len(text))], [0, 1, 2])
connection.sendall(text)
pid = struct.unpack("!i", connection.recv(4))[0]
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda given, _: os.kill(pid, given))
code = struct.unpack("!i", connection.recv(4))[0]
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
