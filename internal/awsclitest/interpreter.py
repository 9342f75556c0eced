"""Runs commands of the installed awscli, each in a fork of one interpreter that has
loaded it already. The modules are the installed ones and main() is what the installed
command calls; only the start of Python and the imports are shared.

usage: interpreter.py SOCKET. It ends when its standard input does.
"""

import gc
import importlib
import os
import select
import socket
import struct
import sys
import threading
import traceback

import awscli
import awscli.clidriver


def command(args, env):
    """The command with these arguments, in this process; its exit code."""
    os.environ.clear()
    os.environ.update(env)
    importlib.reload(awscli)  # its import adds a path of its own to the environment
    sys.argv = ["aws"] + args
    try:
        code = awscli.clidriver.main()
    except SystemExit as e:
        code = e.code
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120  # as Python exits when it cannot write its output
    return (code or 0) if isinstance(code, (int, type(None))) else 1


def receive(conn, n):
    data = b""
    while len(data) < n:
        more = conn.recv(n - len(data))
        if not more:
            os._exit(1)
        data += more
    return data


def end_with(conn):
    """Ends the command when whoever started it has ended."""
    conn.recv(1)
    os._exit(1)


def serve(conn):
    """Runs the command of one connection, in a process of its own."""
    length, fds, _, _ = socket.recv_fds(conn, 4, 3)
    if len(length) != 4 or len(fds) != 3:
        os._exit(1)
    folder, count, *texts = receive(conn, struct.unpack(">I", length)[0]).decode(errors="surrogateescape").split("\0")[:-1]
    for stream, fd in enumerate(fds):
        os.dup2(fd, stream)
        os.close(fd)
    os.chdir(folder)
    threading.Thread(target=end_with, args=(conn,), daemon=True).start()
    args, env = texts[:int(count)], texts[int(count):]
    code = command(args, dict(pair.split("=", 1) for pair in env)) & 255
    conn.sendall(bytes([code]))
    os._exit(code)


def load():
    """Imports what a command imports: a first command fails at a port that nobody
    listens at."""
    null = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(2)
    os.dup2(null, 2)
    command(["sts", "get-caller-identity", "--no-sign-request", "--endpoint-url", "http://127.0.0.1:9"],
            {"AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})
    os.dup2(kept, 2)
    os.close(null)
    os.close(kept)
    gc.collect()
    gc.freeze()  # so that a fork's collections leave the shared pages alone


def reap():
    """Takes the exit codes of commands that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def listen(path):
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready:
            return
        conn, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            serve(conn)
        conn.close()
        reap()


if __name__ == "__main__":
    listen(sys.argv[1])
