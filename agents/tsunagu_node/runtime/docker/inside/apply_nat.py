"""Makes the nat rules of a task's network: `main([BATCH])`, run as root in the pause container.

Rule: it knows no rules: the node agent passes the messages of the batch, in hexadecimal, each with a blank after it. It
prints the errno of the kernel's refusal, 0 when the rules are in place. Standard library only.
"""

from tsunagu_node.runtime import netfilter


def main(arguments: list[str]) -> None:
    messages = [bytes.fromhex(word) for word in arguments[0].split()]
    try:
        with netfilter.connected() as netlink:
            print(netfilter.refusal(netlink, messages))
    except OSError as error:
        print(error.errno or 5)
