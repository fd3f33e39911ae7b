"""apply, validate, delete -f: all or nothing, and everything told."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def test_apply_says_what_it_made_and_a_second_one_leaves_all_as_it_is(server, tsunagu, shop):
    first = tsunagu("apply", shop, "--home", server.home.root)
    assert first.exit_code == 0
    assert first.stdout.splitlines() == [
        "namespace shop created (Service default/web uses it)",
        "cluster default created (Service default/web uses it)",
        "task definition web:1 created",
        "service default/web created",
    ]
    second = tsunagu("apply", shop.parent, "--home", server.home.root)
    assert [line.endswith("is as it should be") for line in second.stdout.splitlines()] == [True, True]


def test_a_dry_run_changes_nothing(server, tsunagu, shop):
    result = tsunagu("apply", shop, "--dry-run", "--home", server.home.root)
    assert "service default/web would be created" in result.stdout
    assert server.do(server.registry.list())[0] == []


def test_apply_reads_standard_input(server, tsunagu, shop):
    result = tsunagu("apply", "-", "--home", server.home.root, text=shop.read_text())
    assert "service default/web created" in result.stdout


def test_one_fault_keeps_everything_out_and_names_file_and_line(server, tsunagu, shop):
    shop.write_text(shop.read_text().replace("portName: http", "portName: htp"))
    result = tsunagu("apply", shop, "--home", server.home.root)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"{shop}:19: ")
    assert "htp" in result.stderr
    assert server.do(server.registry.list())[0] == []


def test_a_file_that_is_not_there_is_a_fault_of_the_manifests(tsunagu, tmp_path):
    result = tsunagu("validate", tmp_path / "none.yaml")
    assert (result.exit_code, result.stderr) == (
        3,
        f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n",
    )


def test_a_directory_without_manifests_is_a_fault(tsunagu, tmp_path):
    assert tsunagu("validate", tmp_path).exit_code == 3


def test_files_without_a_document_are_a_fault_and_a_file_without_one_beside_others_is_none(tsunagu, tmp_path, shop):
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing yet\n")
    result = tsunagu("validate", empty)
    assert (result.exit_code, result.stderr) == (3, f"{empty}: holds no document\n")
    assert tsunagu("validate", empty, shop).exit_code == 0


def test_validate_needs_no_mesh_and_tells_what_has_no_effect(tsunagu, shop):
    shop.write_text(shop.read_text().replace("family: web", "family: web\nvolumes: [{name: data}]"))
    result = tsunagu("validate", shop)
    assert (result.exit_code, result.stdout) == (0, "2 documents are valid\n")
    assert "volumes" in result.stderr


def test_a_missing_secret_is_named_and_the_env_file_gives_it(tsunagu, shop, tmp_path):
    text = shop.read_text().replace(
        "  portMappings", "  secrets: [{name: TOKEN, valueFrom: /shop/token}]\n  portMappings"
    )
    shop.write_text(text)
    refused = tsunagu("validate", shop)
    assert refused.exit_code == 3
    assert "/shop/token" in refused.stderr
    env = tmp_path / "secrets.env"
    env.write_text("/shop/token=s3cr3t\n")
    assert tsunagu("validate", shop, "--env-file", env).exit_code == 0


def test_delete_by_manifest_takes_away_what_it_names(server, tsunagu, shop):
    tsunagu("apply", shop, "--home", server.home.root)
    result = tsunagu("delete", "-f", shop, "--home", server.home.root)
    assert result.stdout.splitlines() == ["service default/web deleted", "task definition web:1 deleted"]
    again = tsunagu("delete", "-f", shop, "--home", server.home.root)
    assert (again.exit_code, again.stdout) == (0, "nothing of it is there\n")


def test_without_a_mesh_the_exit_code_says_so(tsunagu, shop, tmp_path):
    result = tsunagu("apply", shop, "--home", tmp_path / "nothing")
    assert result.exit_code == 6
    assert "no mesh is running" in result.stderr
    assert "tsunagu up" in result.stderr


def test_a_folder_in_another_encoding_is_told_in_words(tsunagu, tmp_path):
    folder = tmp_path / "caf\udce9"  # Latin-1
    folder.mkdir()
    (folder / "images.yaml").write_text("{kind: Image, name: web, pattern: web, command: [web]}")
    result = tsunagu("validate", folder)
    assert (result.exit_code, result.stderr.endswith("is no UTF-8 text\n")) == (2, True)


def test_those_who_apply_at_once_get_a_revision_each(server, tsunagu, shop):
    def of_version(number):
        path = shop.with_name(f"{number}.yaml")
        path.write_text(shop.read_text().replace("image: web:1", f"image: web:{number}"))
        return tsunagu_process("apply", path, "--home", server.home.root)

    assert tsunagu("apply", shop, "--home", server.home.root).exit_code == 0
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(of_version, range(2, 8)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 6
    revisions = {obj.meta.name for obj in server.do(server.registry.list("TaskDefinition"))[0]}
    assert revisions == {f"web:{number}" for number in range(1, 8)}


def tsunagu_process(*arguments):
    command = [sys.executable, "-m", "tsunagu.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_service_without_a_name_is_named_on_the_command_line(tsunagu, tmp_path):
    task, service = tmp_path / "task.json", tmp_path / "service.json"
    task.write_text(
        '{"family": "web", "cpu": null, "containerDefinitions": [{"name": "a", "image": "b", "command": ["sleep"]}]}'
    )
    service.write_text('{"desiredCount": 2, "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["a"]}}}')
    refused = tsunagu("validate", task, service)
    assert refused.exit_code == 3
    assert "serviceName is missing; write it, or give --service-name NAME" in refused.stderr
    named = tsunagu("validate", "--service-name", "web", "--cluster", "shop", task, service)
    assert (named.exit_code, named.stdout) == (0, "2 documents are valid\n")
    assert [line.partition(":")[0] for line in named.stderr.splitlines()] == ["note", "note"]
    assert tsunagu("validate", "-q", "--service-name", "web", task, service).stderr == ""


def test_single_values_are_set_on_the_command_line(tsunagu, shop):
    assert tsunagu("validate", "--set", "web/A=1", shop).exit_code == 0
    wrong = tsunagu("validate", "--set", "wbe/A=1", shop)
    assert (wrong.exit_code, wrong.stderr) == (
        3,
        "--set wbe/A: there is no service 'wbe' in these files; did you mean \"web\"?\n",
    )


def test_the_schema_needs_no_file(tsunagu):
    result = tsunagu("validate", "--schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$defs"]["Image"]["properties"]["skip"] == {"type": ["boolean", "null"]}


def test_a_dry_run_shows_what_would_change(server, tsunagu, shop):
    tsunagu("apply", shop, "--home", server.home.root)
    result = tsunagu("apply", "--dry-run", "--set", "web/API_TOKEN=x", shop, "--home", server.home.root)
    assert result.stdout.splitlines()[:2] == [
        "task definition web:2 would be created",
        '    + containerDefinitions[app].environment[API_TOKEN]: "[masked]"',
    ]
    assert "values that look like secrets are masked; --unmask shows them" in result.stderr
    words = ("apply", "--dry-run", "--unmask", "--set", "web/API_TOKEN=x", shop)
    result = tsunagu(*words, "--home", server.home.root)
    assert result.stdout.splitlines()[1] == '    + containerDefinitions[app].environment[API_TOKEN]: "x"'
    assert "masked" not in result.stderr
