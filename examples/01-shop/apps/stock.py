"""A service that speaks no HTTP, on a port that everybody knows: "GET apples" is answered by "apples 42 TASK"."""

from serving import line_server, me, serve

STOCK = {"apples": 42, "pears": 7}


def reply(line):
    word, _, item = line.partition(" ")
    if word != "GET":
        return f"ERROR {word!r} is no command; one is: GET apples"
    return f"{item} {STOCK.get(item, 0)} {me()['task']}"


serve(line_server(3306, reply))
