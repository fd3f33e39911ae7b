"""How a mesh ends: in order, whether it was asked to or failed."""

from contextlib import asynccontextmanager

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local import drain, resume, run
from tsunagu.cli.local.children import Processes
from tsunagu.cli.local.options import Options
from tsunagu.cli.local.shutdown import Ending
from tsunagu.serve.hooks import hook_map
from tsunagu.settings import Home


class Job:
    """Fails, or asks for the end, at once."""

    def __init__(self, *, answered: bool, ending: Ending | None = None) -> None:
        self.answered, self.ending = answered, ending

        self.told: list[str] = []

    def notify(self, text: str) -> None:
        self.told.append(text)

    async def __call__(self, processes: Processes) -> None:
        processes.home.database.write_text("secrets")
        processes.answered = self.answered
        if self.ending is None:
            raise CliError("node ends again and again")
        self.ending.request()


@pytest.fixture
def drained(monkeypatch) -> list[Home]:
    """The homes whose tasks were drained."""
    homes = []

    @asynccontextmanager
    async def running(home, notify, options):
        yield Processes(home, notify)

    async def drained_home(home, *_):
        assert home.database.exists()
        homes.append(home)

    monkeypatch.setattr(run, "running", running)
    monkeypatch.setattr(drain, "drain", drained_home)
    return homes


@pytest.mark.parametrize("answered", [True, False])
async def test_a_mesh_that_fails_is_drained_when_it_can_have_tasks(tmp_path, drained, answered):
    home = Home(tmp_path)
    with pytest.raises(BaseExceptionGroup) as caught:
        await run.hold(home, Ending(), Options(1.0), Job(answered=answered))
    assert caught.group_contains(CliError, match="node ends again and again")
    assert drained == [home] * answered
    assert not home.database.exists()


async def test_a_mesh_that_is_asked_to_end_is_drained(tmp_path, drained):
    ending = Ending()
    await run.hold(Home(tmp_path), ending, Options(1.0), Job(answered=True, ending=ending))
    assert drained == [Home(tmp_path)]


async def test_what_stands_for_functions_is_kept_in_the_home(tmp_path, drained):
    ending, target = Ending(), hook_map.Url("http://h/")
    hooks = (hook_map.word("arn:aws:lambda:::function:f", target),)
    await run.hold(Home(tmp_path), ending, Options(hooks=hooks), Job(answered=True, ending=ending))
    assert hook_map.load(Home(tmp_path).hooks) == {"arn:aws:lambda:::function:f": target}


async def test_hooks_are_not_added_to_a_file_that_cannot_be_read(tmp_path, drained):
    Home(tmp_path).hooks.write_text("{")
    hooks = (hook_map.word("arn:aws:lambda:::function:f", hook_map.Url("http://h/")),)
    with pytest.raises(CliError, match=r"hooks.json cannot be read"):
        await run.hold(Home(tmp_path), Ending(), Options(hooks=hooks), Job(answered=True))
    assert drained == []


async def test_a_killed_mesh_whose_registry_is_damaged_begins_anew_and_says_so(tmp_path, drained):
    home, ending = Home(tmp_path), Ending()
    job = Job(answered=True, ending=ending)
    home.database.write_text("no database")
    resume.note(home, "asked", "digest")
    await run.hold(home, ending, Options(asked="asked"), job)
    assert len(job.told) == 1
    assert job.told[0].startswith(f"the mesh that was killed in {home.root} cannot go on: ")
    assert job.told[0].endswith("it begins anew")
    assert not resume.is_applied(home, "digest")
