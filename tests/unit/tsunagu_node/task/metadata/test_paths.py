"""Which paths are answered, and AWS's own words for the others."""

import pytest

from tsunagu_node.task.metadata.paths import NOT_FOUND, Refusal, Wanted, wanted

CONTAINERS = {"id-1": "app"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v4/id-1", Wanted("container", 4, "app")),
        ("/v4/id-1/", Wanted("container", 4, "app")),
        ("/v4/id-1/task", Wanted("task", 4)),
        ("/v4/id-1/taskWithTags", Wanted("task", 4)),
        ("/v4/id-1/stats", Wanted("stats", 4, "app")),
        ("/v4/id-1/task/stats?one=1", Wanted("task stats", 4)),
        ("/v3/id-1", Wanted("container", 3, "app")),
        ("/v3/id-1/task/stats", Wanted("task stats", 3)),
        ("/v2/metadata", Wanted("task", 2)),
        ("/v2/metadata/id-1", Wanted("container", 2, "app")),
        ("/v2/stats", Wanted("task stats", 2)),
        ("/v2/stats/id-1", Wanted("stats", 2, "app")),
    ],
)
def test_a_path_says_what_is_asked_for(path, expected):
    assert wanted("GET", path, CONTAINERS) == expected


def test_an_id_that_nobody_has_is_refused_in_the_words_of_aws():
    container = "unable to get container ID from request: unable to get docker ID from v3 endpoint ID: x"
    task = "unable to get task {} from request: unable to get task Arn from v3 endpoint ID: x"
    refusals = {
        "/v4/x": f"V4 container metadata handler: {container}",
        "/v4/x/task": f"V4 task metadata handler: {task.format('arn')}",
        "/v4/x/stats": f"V4 container stats handler: {task.format('ARN')}",
        "/v4/x/task/stats": f"V4 task stats handler: {task.format('ARN')}",
        "/v3/x": f"V3 container metadata handler: {container}",
    }
    for path, words in refusals.items():
        assert wanted("GET", path, CONTAINERS) == Refusal(404, words)


@pytest.mark.parametrize(
    "path", ["/", "/v4", "/v4/id-1/other", "/v5/id-1", "/latest/meta-data/", "/api/id-1/task-protection"]
)
def test_a_path_that_is_none_is_not_found(path):
    assert wanted("GET", path, CONTAINERS) == NOT_FOUND


def test_there_are_no_credentials():
    named, unnamed = (wanted("GET", path, CONTAINERS) for path in ("/v2/credentials/abc", "/v2/credentials"))
    message = "CredentialsV2Request: Credentials not found"
    assert named == Refusal(400, {"code": "InvalidIdInRequest", "message": message, "HTTPErrorCode": 400})
    assert unnamed.body["code"] == "NoIdInRequest"


def test_it_is_only_read():
    assert wanted("PUT", "/v4/id-1", CONTAINERS).status == 405
