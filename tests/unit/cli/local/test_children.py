"""The children of `up`, as far as they can be known without a mesh."""

import sys

from tsunagu.cli.local import children
from tsunagu.cli.local.home_lock import make
from tsunagu.kit.supervise import Child
from tsunagu.settings import Home


async def test_the_last_words_are_those_of_this_mesh(tmp_path, monkeypatch):
    home = Home(tmp_path)
    make(home)
    words = tmp_path / "log" / "serve.err"
    words.write_text("an old story\n" * 20)
    broken = (sys.executable, "-c", "import sys; sys.exit('the port is taken')")
    monkeypatch.setattr(
        children, "children", lambda _, life: [Child("serve", broken, None, (life.descriptor,), words, 1.0)]
    )
    async with children.running(home, lambda _: None) as running:
        await running.failing.wait()
    told = str(children.failure(running))
    assert "serve ends again and again" in told
    assert "the port is taken" in told
    assert "an old story" not in told
