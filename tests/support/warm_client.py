"""A program that runs a module in a process forked from a warm one: ``warm_client.py SOCKET MODULE WORDS...``.

It imports little, so that it starts in hundredths of a second. Its streams, folder and environment are the command's,
and so are the signals that it gets and its end.
"""

import json
import os
import signal
import socket
import struct
import sys

place, module, *words = sys.argv[1:]
python = os.path.join(os.path.dirname(place), "python")  # noqa: PTH118, PTH120
request = {
    "module": module, "arguments": words, "cwd": os.getcwd(), "env": dict(os.environ),  # noqa: PTH109
    "user": 0, "mounts": "", "python": python, "asked": [],
}  # fmt: skip
streams, channel = [0, 1, 2], os.environ.get("GAN_BENCH_CHANNEL")
if channel:
    streams.append(int(channel))
text = json.dumps(request).encode()
connection = socket.socket(socket.AF_UNIX)
connection.connect(place)
socket.send_fds(connection, [struct.pack("!I", len(text))], streams)
connection.sendall(text)
os.closerange(0, 3)
if channel:
    os.close(int(channel))
pid = struct.unpack("!i", connection.recv(4))[0]
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda given, _: os.kill(pid, given))
code = struct.unpack("!i", connection.recv(4))[0]
if code < 0:
    if -code != signal.SIGKILL:  # which nobody may handle
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
