"""A lesson that is no longer true fails, says what was not so, and goes on to its end; its stage is cleared in any case."""

from contextlib import contextmanager

import pytest

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.play import play
from tsunagu.lessons.seen import Seen, in_order
from tsunagu.lessons.shown import LessonFailed, Shown
from tsunagu.lessons.steps import File, Run, Until, filled
from tsunagu.v1.inspector_pb2 import TimelineEvent


def message(sequence, kind, type="", proxy="default/web-11111111", **fields):  # noqa: A002
    return TimelineEvent(sequence=sequence, kind=kind, type=type, proxy=proxy, **fields)


SENT = message(1, "send", "CDS", names=["a"], nonce="1-1")
ACKED = message(2, "ack", "CDS", nonce="1-1")


class Stage:
    """Plays nothing: it has the messages that a test gives it."""

    invites = ""

    def __init__(self, folder, messages):
        self.folder = folder
        self.events = messages
        self.cleared = False

    def words(self):
        return {"port": "8000"}

    def messages(self, after):
        return [one for one in self.events if one.sequence > after]

    def run(self, command, expected):
        return [Shown(f"$ {command}", "done")]


class Silent:
    """Is shown everything, and notes the claims."""

    def __init__(self, prediction=""):
        self.prediction = prediction
        self.claims = []
        self.answers = []

    def __getattr__(self, name):
        return lambda *_: None

    def predicts(self, question):
        return self.prediction or question.right

    def answer(self, question, predicted, happened):
        self.answers.append((predicted, happened))

    def claim(self, claim, wrong):
        self.claims.append((claim.text, bool(wrong)))


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path, [SENT, ACKED])


def lesson_of(stage, *scenes):
    @contextmanager
    def stage_of():
        try:
            yield stage
        finally:
            stage.cleared = True

    return Lesson("A lesson", "", stage_of, scenes, rules=(1,), remember=("something",))


def scene(*claims, steps=(), question=None, back=True):
    return Scene("A scene", "", steps, claims, question=question, back=back)


TRUE = Claim("clusters were sent", lambda seen: bool(seen.all("send", "CDS")))
FALSE = Claim("listeners were sent", lambda seen: bool(seen.all("send", "LDS")))


def test_claims_that_hold_leave_nothing_wrong(stage):
    audience = Silent()
    played = play(lesson_of(stage, scene(TRUE)), audience)
    assert played.wrong == []
    assert audience.claims == [("clusters were sent", False)]
    assert stage.cleared


def test_a_claim_that_is_not_so_is_told_with_the_messages_and_the_lesson_goes_on(stage):
    audience = Silent()
    played = play(lesson_of(stage, scene(FALSE), scene(TRUE)), audience)
    assert len(played.wrong) == 1
    assert "scene 1, 'A scene': 'listeners were sent' is not so" in played.wrong[0]
    assert "-> CDS is sent" in played.wrong[0]
    assert audience.claims == [("listeners were sent", True), ("clusters were sent", False)]


def test_a_claim_about_a_message_that_is_not_there_is_not_so(stage):
    claim = Claim("one NACK", lambda seen: seen.one("nack").detail == "x")
    played = play(lesson_of(stage, scene(claim)), Silent())
    assert "there is not one message 'nack' but 0" in played.wrong[0]


def asked(right="a", *holds):
    choices = tuple(Choice(f"choice {number}", lambda _, held=held: held) for number, held in enumerate(holds))
    return Question("what happens?", choices, right, "")


@pytest.mark.parametrize(
    ("holds", "wrong"),
    [((True, False), False), ((False, True), True), ((True, True), True), ((False, False), True)],
    ids=["the right one", "another", "two", "none"],
)
def test_a_question_is_right_only_if_its_right_choice_alone_happened(stage, holds, wrong):
    played = play(lesson_of(stage, scene(TRUE, question=asked("a", *holds))), Silent())
    assert bool(played.wrong) == wrong


def test_what_was_predicted_is_compared_with_what_happened(stage):
    audience = Silent(prediction="b")
    play(lesson_of(stage, scene(TRUE, question=asked("a", True, False))), audience)
    assert audience.answers == [("b", "a")]


def test_a_scene_sees_only_its_own_messages_unless_it_looks_back(stage):
    only_new = Claim("nothing new", lambda seen: not seen.messages)
    played = play(lesson_of(stage, scene(only_new, back=False), scene(TRUE, back=True)), Silent())
    assert played.wrong == []


def test_the_stage_is_cleared_when_a_step_cannot_be_done(stage):
    never = Until(lambda seen: seen.all("nack"), "a NACK", seconds=0)
    with pytest.raises(LessonFailed, match="a NACK: not seen in 0 s"):
        play(lesson_of(stage, scene(TRUE, steps=(never,))), Silent())
    assert stage.cleared


def test_what_steps_show_is_kept_by_scene(stage):
    steps = (File("a.yaml", "port: $port"), Run("tsunagu ps --after $mark"))
    played = play(lesson_of(stage, scene(TRUE, steps=steps)), Silent())
    assert played.scenes[0].steps == [Shown("a.yaml", "port: 8000", "yaml"), Shown("$ tsunagu ps --after 0", "done")]
    assert (stage.folder / "a.yaml").read_text() == "port: 8000\n"


def test_a_word_that_the_stage_does_not_know_is_an_error():
    with pytest.raises(LessonFailed, match="nobody"):
        filled("$nobody", {"port": "1"})


def test_messages_are_found_by_kind_type_proxy_and_name():
    removed = message(3, "send", "EDS", proxy="default/api-22222222", removed=["b"])
    seen = Seen(lambda _: [SENT, ACKED, removed], {})
    assert seen.all("send") == [SENT, removed]
    assert seen.all(proxy="api") == [removed]
    assert seen.all(name="b") == [removed]
    assert seen.one("ack", "CDS") == ACKED
    assert seen.first("send").names == ["a"]


def test_order_is_that_of_the_numbers():
    assert in_order(SENT, ACKED)
    assert not in_order(ACKED, SENT)
    assert not in_order(SENT, SENT)
