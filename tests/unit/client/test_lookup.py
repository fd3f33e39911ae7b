import pytest

from tsunagu.client.errors import InvalidRequest, UnknownName
from tsunagu.client.lookup import find, kind_named, matches

NAMES = ["default/web", "shop/web", "default/orders", "default/orders-admin"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("default/web", ["default/web"]),
        ("web", ["default/web", "shop/web"]),
        ("orders", ["default/orders"]),  # the whole of a last part comes before the beginning of another
        ("order", ["default/orders", "default/orders-admin"]),
        ("shop/w", ["shop/web"]),
        ("x", []),
        ("", []),
    ],
)
def test_what_a_word_can_mean(word, meant):
    assert matches(word, NAMES) == meant


def test_find_never_chooses_between_two():
    with pytest.raises(InvalidRequest, match="can mean 2 services") as caught:
        find("Service", "web", NAMES)
    assert caught.value.right == "give more of it: default/web, shop/web"


def test_a_whole_name_is_not_shortened():
    assert find("Service", "orders", NAMES, whole=True) == "default/orders"
    assert find("Service", "shop/web", NAMES, whole=True) == "shop/web"
    for word in ("orders-a", "default/orders-a", "shop/"):
        with pytest.raises(UnknownName, match="there is no service"):
            find("Service", word, NAMES, whole=True)


def test_a_family_means_its_latest_task_definition_but_not_when_it_is_to_be_deleted():
    names = ["api:2", "api:10", "api:9", "api-admin:11"]
    assert find("TaskDefinition", "api", names) == "api:10"
    assert find("TaskDefinition", "api:9", names) == "api:9"
    with pytest.raises(UnknownName):
        find("TaskDefinition", "api", names, whole=True)


def test_find_in_nothing_says_so():
    with pytest.raises(UnknownName) as caught:
        find("TaskDefinition", "web", [])
    assert (str(caught.value), caught.value.right) == (
        "there is no task definition 'web'",
        "there is no task definition at all",
    )


def test_every_kind_has_its_words():
    assert {kind_named(word) for word in ("ServiceRevision", "servicerevisions", "service-revision", "rev")} == {
        "ServiceRevision"
    }


@pytest.mark.parametrize(
    "arguments", [("ps", "--home", ""), ("ps", "--home", " "), ("scale", "web=99999999999999999999")]
)
def test_words_that_cannot_be_meant_are_refused(tsunagu, arguments):
    assert tsunagu(*arguments).exit_code == 2


def test_short_words_have_a_plural_as_well():
    assert (kind_named("secrets"), kind_named("TDs")) == ("SecretValue", "TaskDefinition")


def test_a_kind_and_a_name_in_one_word_are_told_apart():
    with pytest.raises(InvalidRequest) as caught:
        kind_named("svc/default/web")
    assert caught.value.right == "write svc default/web"
