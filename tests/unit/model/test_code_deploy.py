"""CodeDeploy's files and task sets: what a user has is told as what to write here, and a service that had task sets runs."""

import json
import re
from pathlib import Path

import pytest

from tsunagu.model.deployments import code_deploy
from tsunagu.model.manifests import formats
from tsunagu.model.plan import plan

PAGE = (Path(__file__).parents[3] / "docs" / "deployments.md").read_text()
DEFINITION = "{family: web, containerDefinitions: [{name: web, image: w, command: [w]}]}"


def road(text):
    """What is said of a file that is not read."""
    [issue] = formats.read_all([formats.Source("file.yaml", text)]).issues
    return str(issue)


@pytest.mark.parametrize("name", code_deploy.CONFIGURATIONS)
def test_a_predefined_configuration_is_told_as_a_deployment_configuration_that_is_read(name):
    for text in (
        {"applicationName": "a", "deploymentGroupName": "g", "deploymentConfigName": name},
        {"deploymentGroupInfo": {"deploymentGroupName": "g", "deploymentConfigName": name}},
    ):
        told = road(json.dumps(text))
        written = re.search(r"deploymentConfiguration (\{.*\}) in the service", told)[1]
        service = f"{{serviceName: web, taskDefinition: web, desiredCount: 1, deploymentConfiguration: {written}}}"
        documents = formats.read([formats.Source("a.yaml", f"{DEFINITION}\n---\n{service}")])
        assert plan(documents, {}).issues == ()
        config = documents[1].message.spec.deployment_configuration
        assert config.strategy == code_deploy.CONFIGURATIONS[name].partition("strategy: ")[2].partition(",")[0].rstrip(
            "}"
        )
        assert f"`{name}`" in PAGE


def test_an_app_spec_is_told_with_the_stages_of_its_hooks():
    told = road("Resources: [{TargetService: {}}]\nHooks: [{BeforeInstall: f}, {AfterAllowTraffic: g}]")
    assert "deploymentConfiguration {strategy: BLUE_GREEN}" in told
    assert "BeforeInstall is stage PRE_SCALE_UP, AfterAllowTraffic is stage POST_PRODUCTION_TRAFFIC_SHIFT" in told
    assert [name for name in (*code_deploy.HOOKS, *code_deploy.HOOKS.values()) if name not in PAGE] == []


def test_a_task_set_by_itself_is_told_as_a_task_definition_of_its_service():
    told = road("{service: ext, taskDefinition: web, scale: {value: 10, unit: PERCENT}}")
    assert "is a task set of CreateTaskSet" in told
    assert "write its taskDefinition in the service" in told


def test_a_service_that_aws_describes_with_task_sets_has_what_its_primary_one_has():
    sets = "[{status: ACTIVE, taskDefinition: 'other:1'}, {status: PRIMARY, taskDefinition: web, launchType: EC2, scale: {}}]"
    service = f"{{serviceArn: a, serviceName: ext, deploymentController: {{type: EXTERNAL}}, taskSets: {sets}}}"
    documents = formats.read([formats.Source("a.yaml", f"{DEFINITION}\n---\n{{services: [{service}]}}")])
    found = plan(documents, {})
    assert found.issues == ()
    spec = next(one.object for one in found.changes if one.kind == "Service").service.spec
    assert (spec.task_definition, spec.launch_type) == ("web:1", "EC2")
    assert any("no task sets are made here" in warning for warning in found.warnings)


def test_what_has_service_connect_is_told_what_to_write():
    connected = "serviceConnectConfiguration: {enabled: true, namespace: shop}"
    text = f"{{serviceName: web, taskDefinition: web, deploymentController: {{type: CODE_DEPLOY}}, {connected}}}"
    reading = formats.read_all([formats.Source("a.yaml", f"{DEFINITION}\n---\n{text}")])
    [issue] = plan(reading.documents, {}).issues
    assert "CODE_DEPLOY has no Service Connect" in str(issue)
    assert "deploymentConfiguration {strategy: BLUE_GREEN}" in str(issue)
