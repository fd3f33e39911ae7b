"""Which values of an environment are hidden when an object is shown."""

import pytest

from tsunagu.model.masking import MASK, masked, masked_value


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "password", "DbPassword", "PG_PASSWORD2", "GITHUB_TOKEN", "API_KEY", "apiKey", "AWS_SECRET_ACCESS_KEY",
     "SECRET_KEY_BASE", "SENTRY_DSN", "MYSQL_PWD", "db.passphrase", "SESSION-SECRET", "OAUTH_CREDENTIALS", "APP_SECRET1",
     "PGPASSWORD", "ACCESSTOKEN", "GITHUB_PAT", "REDIS_AUTH", "BASIC_AUTH", "SMTP_PASS"],
)  # fmt: skip
def test_names_of_secrets(name):
    assert masked_value(name, "x") == MASK


@pytest.mark.parametrize(
    "name",
    ["VERSION", "PWD", "COMPASS", "PASSWORD_FILE", "TOKEN_TTL", "SECRET_ARN", "CACHE_KEY", "BYPASS", "TOKENIZER", "PORT",
     "ENABLE_AUTH", "SPAT", "BASALT", "PASSWORD_MIN_LENGTH", "PUBLIC_KEY"],
)  # fmt: skip
def test_names_of_no_secrets(name):
    assert masked_value(name, "value") == "value"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://app:hunter2@db:5432/shop", f"postgres://app:{MASK}@db:5432/shop"),
        ("redis://:hunter2@cache", f"redis://:{MASK}@cache"),
        ("http://orders:80/a@b", "http://orders:80/a@b"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("sk_live_" + "a1B2" * 6, MASK),
        ("glpat-" + "x" * 20, MASK),
        ("https://hooks.slack.com/services/T0/B0/xyz", MASK),
        ("Server=db;User Id=sa;Password=hunter2;Timeout=5", f"Server=db;User Id=sa;Password={MASK};Timeout=5"),
        ("DefaultEndpointsProtocol=https;AccountKey=aGVsbG8=;", f"DefaultEndpointsProtocol=https;AccountKey={MASK};"),
        ("password rules: see the handbook", "password rules: see the handbook"),
        ("", ""),
    ],
)
def test_values_that_are_secrets_whatever_their_name(value, shown):
    assert masked_value("BACKEND", value) == shown


def test_every_environment_of_an_object_is_masked_and_nothing_else():
    pairs = [{"name": "VERSION", "value": "1"}, {"name": "TOKEN", "value": "t"}, {"name": "TOKEN"}]
    shown = {"spec": {"containerDefinitions": [{"name": "TOKEN", "environment": pairs}]}}
    after = masked(shown)["spec"]["containerDefinitions"][0]
    assert after == {"name": "TOKEN", "environment": [pairs[0], {"name": "TOKEN", "value": MASK}, {"name": "TOKEN"}]}
    assert pairs[1]["value"] == "t"
    assert masked({"kind": "Image", "environment": {"API_TOKEN": "t", "PORT": "80"}})["environment"] == {
        "API_TOKEN": MASK,
        "PORT": "80",
    }
