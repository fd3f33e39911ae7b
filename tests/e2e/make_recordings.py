"""Makes the recordings that ship with the package, of real Envoys: `python -m tests.e2e.make_recordings [NAME...]`."""

import sys
from contextlib import contextmanager

from tsunagu.lessons.course import reconnect, refused
from tsunagu.lessons.mesh_stage import bare_mesh, orders_mesh
from tsunagu.lessons.recordings import FOLDER
from tsunagu.lessons.seen import Seen
from tsunagu.lessons.steps import Until

STORM = 12  # copies of `orders`


@contextmanager
def recorded(stage, name, *, anew=False):
    """Record what happens in the block; `anew`: a new control plane in it counts from 1."""
    mark = 0 if anew else max((one.sequence for one in stage.messages(0)), default=0)
    yield Seen(stage.messages, {}, mark)
    path = FOLDER / f"{name}.jsonl"
    path.unlink(missing_ok=True)
    stage.run(f"tsunagu xds log --after {mark} --record {path}", 0)


def wait(holds, what, stage, seen):
    list(Until(holds, what, 30)(stage, seen))


def boot():
    with bare_mesh() as stage, recorded(stage, "boot"):
        stage.run("tsunagu apply orders.yaml", 0)
        stage.run("tsunagu wait --steady", 0)


def rollout():
    with orders_mesh() as stage, recorded(stage, "rollout") as seen:
        stage.run("tsunagu apply orders.yaml --set orders/VERSION=2", 0)
        stage.run("tsunagu wait --steady", 0)
        wait(lambda seen: len(seen.all("close")) == 2, "the end of the old copies", stage, seen)


def nack():
    with orders_mesh() as stage, recorded(stage, "nack") as seen:
        for name, text in (("broken.yaml", refused.BROKEN), ("mended.yaml", refused.MENDED)):
            (stage.folder / name).write_text(text)
        stage.run("tsunagu xds override lesson LDS extra broken.yaml", 0)
        wait(lambda seen: len(seen.all("nack")) == 3, "a NACK of each Envoy", stage, seen)
        stage.run("tsunagu xds override lesson LDS extra mended.yaml", 0)
        stage.run("tsunagu wait", 0)


def came_back(name, envoys):
    with orders_mesh() as stage:
        if envoys > reconnect.ENVOYS:
            stage.run(f"tsunagu scale orders={envoys - 1}", 0)
            stage.run("tsunagu wait --steady --timeout 60", 0)
        with recorded(stage, name, anew=True) as seen:
            stage.mesh.kill("serve")
            wait(lambda seen: reconnect.all_back(seen, envoys), "all Envoys are back", stage, seen)


MAKERS = {
    "boot": boot,
    "rollout": rollout,
    "nack": nack,
    "reconnect": lambda: came_back("reconnect", reconnect.ENVOYS),
    "storm": lambda: came_back("storm", STORM + 1),
}

if __name__ == "__main__":
    for one in sys.argv[1:] or MAKERS:
        MAKERS[one]()
