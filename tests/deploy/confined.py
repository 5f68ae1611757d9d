"""Runs a command as a unit of systemd would confine it, where systemd is not pid 1.

    /usr/bin/python3 confined.py UNIT COMMAND [ARGUMENT...]

Takes SystemCallFilter, RestrictAddressFamilies and MemoryDenyWriteExecute from the unit, asks
systemd-analyze what the groups of system calls hold, and loads the same filter (python3-seccomp).
NoNewPrivileges is set by that too.
"""
import os, socket, subprocess, sys
import seccomp
from seccomp import EQ, MASKED_EQ


def settings(unit):
    with open(unit) as lines:
        for line in lines:
            if "=" in line and not line.startswith("#"):
                yield line.strip().split("=", 1)


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name],
        capture_output=True, text=True, check=True).stdout
    entries = [line.strip() for line in text.splitlines()[1:]]
    entries = [entry for entry in entries if entry and not entry.startswith("#")]
    return set().union(*(calls_of(entry) for entry in entries)) if entries else set()


def main(unit, *command):
    # execve is in every list of systemd's, for the program itself must start.
    allowed, families, deny_write_execute = calls_of("@default"), [], False
    for key, value in settings(unit):
        if key == "SystemCallFilter":
            names = set().union(*(calls_of(name) for name in value.lstrip("~").split()))
            allowed = allowed - names if value.startswith("~") else allowed | names
        elif key == "RestrictAddressFamilies":
            families = [getattr(socket, name) for name in value.split()]
        elif key == "MemoryDenyWriteExecute":
            deny_write_execute = value == "yes"
    denied = seccomp.ERRNO(1)
    kernel = seccomp.SyscallFilter(denied)
    for name in sorted(allowed):
        if name in ("socket", "mmap", "mprotect", "pkey_mprotect"):
            continue
        try:
            kernel.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # not of this machine
    for family in families:
        kernel.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, EQ, int(family)))
    for name in ("mmap", "mprotect", "pkey_mprotect"):
        if not deny_write_execute:
            kernel.add_rule(seccomp.ALLOW, name)
        elif name == "mmap":
            # Not writable and executable at once: PROT_WRITE is 2, PROT_EXEC 4.
            for bits in (0, 2, 4):
                kernel.add_rule(seccomp.ALLOW, name, seccomp.Arg(2, MASKED_EQ, 6, bits))
        else:
            kernel.add_rule(seccomp.ALLOW, name, seccomp.Arg(2, MASKED_EQ, 4, 0))
    kernel.load()
    os.execv(command[0], command)


main(*sys.argv[1:])
