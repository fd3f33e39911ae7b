"""A program outside of the mesh: calls a service by its DNS name, as a Lambda function would, and says how that went.

python outside.py [--server ADDRESS:PORT] [--seconds N] [--connections keep|new] [--tell] NAME

It asks for SRV records, keeps an answer for its TTL, and calls one of the instances; nothing of it knows tsunagu. A name server that
the machine itself asks (docs/dns.md has recipes) needs no --server. Ctrl-C ends it before its time. With --tell each task that is
reached for the first time is told at once, on stderr.
"""

import argparse
import http.client
import json
import random
import sys
import time
from contextlib import suppress

import dns.exception
import dns.resolver


class Name:
    """The instances behind a DNS name, as its last answer gave them. `asked`: how many answers there were."""

    def __init__(self, resolver: dns.resolver.Resolver, name: str) -> None:
        self._resolver = resolver
        self._name = name
        self._until = 0.0
        self._instances: list[tuple[str, int]] = []
        self.asked = 0

    def instance(self) -> tuple[str, int]:
        """Return an address and a port."""
        if time.monotonic() >= self._until:
            answer = self._resolver.resolve(self._name, "SRV")
            self._until = time.monotonic() + answer.rrset.ttl
            self._instances = [(self._address(one.target), one.port) for one in answer]
            self.asked += 1
        return random.choice(self._instances)

    def _address(self, target: dns.name.Name) -> str:
        return self._resolver.resolve(target, "A")[0].address


class Caller:
    """Calls instances, each over a connection that is kept, or over a new one each time."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._open: dict[tuple[str, int], http.client.HTTPConnection] = {}

    def call(self, instance: tuple[str, int]) -> dict[str, object]:
        """Return what it answers. Raises OSError, http.client.HTTPException."""
        connection = self._open.pop(instance, None) or http.client.HTTPConnection(*instance, timeout=5)
        connection.request("GET", "/")
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        if self._keep:
            self._open[instance] = connection
        else:
            connection.close()
        return answer


def resolver(server: str) -> dns.resolver.Resolver:
    """Return one that asks the machine's servers, or only the one at ADDRESS:PORT."""
    if not server:
        return dns.resolver.Resolver()
    found = dns.resolver.Resolver(configure=False)
    address, _, port = server.rpartition(":")
    found.nameservers, found.port = [address], int(port)
    return found


def call_until(end: float, name: Name, caller: Caller, *, tell: bool) -> dict[str, object]:
    """Call until the time `end`, or Ctrl-C; return how that went. `tell`: which task was reached for the first time, at once."""
    failures: dict[str, int] = {}
    tasks: set[str] = set()
    calls = 0
    with suppress(KeyboardInterrupt):
        while time.monotonic() < end:
            calls += 1
            try:
                task = str(caller.call(name.instance())["task"])
            except (OSError, http.client.HTTPException, dns.exception.DNSException) as error:
                what = f"{type(error).__name__}: {error}"
                failures[what] = failures.get(what, 0) + 1
            else:
                if tell and task not in tasks:
                    print(f"reached {task}", file=sys.stderr, flush=True)
                tasks.add(task)
            time.sleep(0.01)
    failed = sum(failures.values())
    return {"calls": calls, "failed": failed, "failures": failures, "answers": name.asked, "tasks": sorted(tasks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--server", default="", help="ADDRESS:PORT of a name server")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", choices=("keep", "new"), default="new")
    parser.add_argument("--tell", action="store_true", help="which task was reached for the first time, at once")
    options = parser.parse_args()
    name, caller = Name(resolver(options.server), options.name), Caller(keep=options.connections == "keep")
    report = call_until(time.monotonic() + options.seconds, name, caller, tell=options.tell)
    print(json.dumps(report))
    sys.exit(1 if report["failed"] else 0)


if __name__ == "__main__":
    main()
