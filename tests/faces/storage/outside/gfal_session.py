"""What gfal2 does with a storage element, run by the interpreter that Debian's bindings belong to.

Reads JSON from its first argument: `steps`, each a list of a name and arguments, and `tokens` by prefix of addresses.
Prints JSON: what each step returned, or the error it raised.
"""

import json
import sys

import gfal2


def session(tokens):
    """Return a context that shows each server its own token."""
    context = gfal2.creat_context()
    for prefix, token in tokens.items():
        gfal2.cred_set(context, prefix, gfal2.cred_new("BEARER", token))
    return context


def copied(context, source, target, mode, checks):
    """Copy, and return nothing."""
    parameters = context.transfer_parameters()
    parameters.overwrite = True
    parameters.timeout = 60
    if checks:
        parameters.set_checksum(gfal2.checksum_mode.both, "ADLER32", "")
    if mode:
        context.set_opt_string("HTTP PLUGIN", "DEFAULT_COPY_MODE", mode)
        context.set_opt_boolean("HTTP PLUGIN", "ENABLE_FALLBACK_TPC_COPY", False)
        context.set_opt_boolean("HTTP PLUGIN", "ENABLE_STREAM_COPY", False)
    context.filecopy(parameters, source, target)


def read(context, address, offset, size):
    """Return a part of a file of text."""
    return context.open(address, "r").pread(offset, size)


STEPS = {
    "stat": lambda context, address: context.stat(address).st_size,
    "checksum": lambda context, address, algorithm: context.checksum(address, algorithm),
    "list": lambda context, address: sorted(context.listdir(address)),
    "mkdir": lambda context, address: context.mkdir_rec(address, 0o755),
    "rename": lambda context, source, target: context.rename(source, target),
    "unlink": lambda context, address: context.unlink(address),
    "rmdir": lambda context, address: context.rmdir(address),
    "copy": copied,
    "read": read,
}


def main():
    """Run the steps."""
    task = json.loads(sys.argv[1])
    told = []
    for name, *arguments in task["steps"]:
        try:
            told.append({"value": STEPS[name](session(task["tokens"]), *arguments)})
        except gfal2.GError as error:
            told.append({"error": error.message, "code": error.code})
    print(json.dumps(told))


main()
