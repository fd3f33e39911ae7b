"""Names files of other tools, and says by which road what they deploy comes here.

People point at the files that they have: templates, compose files, the settings of deployment tools. The one rule: a format
is a row of a table (what it is called, how its keys tell it, the road that works), so that no file gets a mere "cannot tell".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node

from tsunagu.model.deployments import code_deploy
from tsunagu.model.manifests import yaml_nodes

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Known:
    """A document of another format: what it is, and the road by which its content comes here."""

    what: str
    road: str


_DESCRIBE = (
    "ask AWS for what it deployed: `aws ecs describe-services --cluster CLUSTER --services SERVICE > service.json` and "
    "`aws ecs describe-task-definition --task-definition FAMILY > task.json`, then `tsunagu up service.json task.json`"
)
_WRITE = "write a task definition and a service (docs/manifests.md), with `kind: Image` for what each image runs"
_ONLY_SERVICES = "only services run here: give the task definition, and a service with a desiredCount"
_NOTHING = "it holds nothing that runs here; leave it out"


def _text(root: Node, *path: str) -> str:
    node: Node | None = root
    for name in path:
        node = yaml_nodes.value_of(node, name) if node is not None else None
    return yaml_nodes.text_of(node)


def _has(*names: str) -> Callable[[Node], bool]:
    return lambda root: set(names) <= set(yaml_nodes.key_texts(root))


def _any(*names: str) -> Callable[[Node], bool]:
    return lambda root: not set(names).isdisjoint(yaml_nodes.key_texts(root))


def _mapping(root: Node, name: str) -> list[tuple[str, Node]]:
    node = yaml_nodes.value_of(root, name)
    return (
        [(yaml_nodes.key_text(key) or "", value) for key, value in node.value] if isinstance(node, MappingNode) else []
    )


def _of_type(prefix: str) -> Callable[[Node], bool]:
    """Whether the Resources of a CloudFormation template have types that begin so."""
    return lambda root: any(_text(one, "Type").startswith(prefix) for _, one in _mapping(root, "Resources"))


def _sam(root: Node) -> bool:
    transform = yaml_nodes.value_of(root, "Transform")
    named = [transform, *yaml_nodes.items(transform)] if transform is not None else []
    return _of_type("AWS::Serverless")(root) or any("AWS::Serverless" in yaml_nodes.text_of(one) for one in named)


#: Such a file has containerDefinitions, but is no task definition.
DOCKERRUN = "AWSEBDockerrunVersion"
_COPILOT = re.compile(
    r"(Load Balanced Web|Request-Driven Web|Backend|Worker) Service|Static Site|Scheduled Job|Pipeline"
)


def _copilot(root: Node) -> bool:
    kind = _text(root, "type")
    return bool(_COPILOT.fullmatch(kind)) or (kind == "Environment" and _has("name")(root))


_OF_COMPOSE = ("image", "build", "ports", "environment", "depends_on", "volumes", "extends", "deploy", "env_file")


def _compose(root: Node) -> bool:
    entries = _mapping(root, "services")
    own = any(isinstance(one, MappingNode) and _any(*_OF_COMPOSE)(one) for _, one in entries)
    return own or (bool(entries) and _any("networks", "volumes", "version", "x-aws-cluster")(root))


def _old_compose(root: Node) -> bool:
    """Version 1: services at the top."""
    if not isinstance(root, MappingNode) or not root.value:
        return False
    return all(isinstance(one, MappingNode) and _any("image", "build")(one) for _, one in root.value)


def _nested_task(root: Node) -> bool:
    return isinstance(yaml_nodes.value_of(root, "task_definition"), MappingNode) and _any("run_params", "version")(root)


def _app_spec(root: Node) -> bool:
    entries = yaml_nodes.value_of(root, "Resources")
    return any(_any("TargetService")(one) for one in yaml_nodes.items(entries))


def _app_spec_road(root: Node) -> str:
    entries = list(yaml_nodes.items(yaml_nodes.value_of(root, "Hooks")))
    hooks = [name for entry in entries for name in yaml_nodes.key_texts(entry)]
    return code_deploy.as_written("") + code_deploy.hooks_as_written(hooks)


def _code_deploy_road(root: Node) -> str:
    """Of a deployment, or a deployment group, in CodeDeploy's input or its output."""
    inner = yaml_nodes.value_of(root, "deploymentGroupInfo") or yaml_nodes.value_of(root, "deploymentInfo") or root
    return code_deploy.as_written(_text(inner, "deploymentConfigName"))


_TASK_SET_ROAD = (
    "write its taskDefinition in the service, with deploymentController {type: ECS}: deployments make their task sets "
    "themselves; in place of several with a scale each: deploymentConfiguration {strategy: CANARY} or LINEAR"
)


def _kubernetes(root: Node) -> bool:
    return _has("apiVersion", "kind")(root) or (_has("apiVersion", "metadata")(root))


_FILE = re.compile(r".*\.(json|jsonnet|ya?ml)")


def _ecspresso(root: Node) -> bool:
    return any(_FILE.fullmatch(_text(root, name)) for name in ("service_definition", "task_definition"))


def _scheduled(root: Node) -> bool:
    return any(_any("scheduleExpression")(one) for one in yaml_nodes.items(yaml_nodes.value_of(root, "rules")))


_OF_KUSTOMIZE = ("images", "patches", "patchesStrategicMerge", "namePrefix", "configMapGenerator", "commonLabels")


def _tasks(root: Node) -> bool:
    return any(_any("taskArn", "lastStatus")(one) for one in yaml_nodes.items(yaml_nodes.value_of(root, "tasks")))


def _ecspresso_road(root: Node) -> str:
    files = " ".join(filter(None, (_text(root, "service_definition"), _text(root, "task_definition"))))
    names = [
        f"--{option} {text}"
        for option, key in (("service-name", "service"), ("cluster", "cluster"))
        if (text := _text(root, key))
    ]
    return f"give the files that it names, rendered: `tsunagu up {' '.join((*names, files))}`"


@dataclass(frozen=True, slots=True)
class Format:
    """A row: what a format is called, whether a document is of it, and the road (a text, or made from the document)."""

    what: str
    fits: Callable[[Node], bool]
    road: str | Callable[[Node], str] = _DESCRIBE


#: The first row that fits counts.
FORMATS: tuple[Format, ...] = (
    Format("a Dockerrun file of Elastic Beanstalk", _any(DOCKERRUN), _WRITE),
    Format("a build specification", _has("phases"), _NOTHING),
    Format("a SAM template", _sam),
    Format("a CDK assembly (cdk.out)", _has("version", "artifacts")),
    Format("a tree of CDK constructs", lambda root: _text(root, "version").startswith("tree-")),
    Format("an asset list of CDK", _has("version", "files", "dockerImages"), _NOTHING),
    Format(
        "the settings of a CDK app",
        lambda root: _has("app")(root) and _any("context", "watch", "requireApproval")(root),
    ),
    Format("an AppSpec of CodeDeploy", _app_spec, _app_spec_road),
    Format(
        "a deployment, or a deployment group, of CodeDeploy",
        _any("deploymentConfigName", "deploymentGroupName", "deploymentGroupInfo", "deploymentInfo"),
        _code_deploy_road,
    ),
    Format("a CloudFormation template", lambda root: _any("AWSTemplateFormatVersion")(root) or _of_type("AWS::")(root)),
    Format("a part of a CloudFormation template", lambda root: _text(root, "Type").startswith("AWS::")),
    Format("a Kubernetes manifest", _kubernetes, _WRITE),
    Format("a Helm chart's description", _has("apiVersion", "name", "version"), _WRITE),
    Format("a Copilot manifest", _copilot),
    Format("a parameter file of ecs-cli", _nested_task),
    Format("a configuration of ecschedule", _scheduled, _ONLY_SERVICES),
    Format("a kustomization", lambda root: _any("resources")(root) and _any(*_OF_KUSTOMIZE)(root), _WRITE),
    Format("a configuration of Lambda", _any("FunctionName", "FunctionArn"), _NOTHING),
    Format("a pipeline", _any("pipeline", "stages", "steps", "pipelines"), _NOTHING),
    Format("a compose file", _compose, _WRITE),
    Format("a configuration of ecspresso", _ecspresso, _ecspresso_road),
    Format("a plan of Terraform", _any("planned_values", "resource_changes")),
    Format("a state of Terraform", _has("terraform_version")),
    Format(
        "a Terraform configuration in JSON",
        lambda root: any(name.startswith("aws_") for name, _ in _mapping(root, "resource")),
    ),
    Format("a Serverless Framework service", _has("service", "provider")),
    Format("a Pulumi project", _has("name", "runtime", "description")),
    Format(
        "a task set of CreateTaskSet",
        lambda root: _has("service", "taskDefinition")(root) and _any("scale", "externalId")(root),
        _TASK_SET_ROAD,
    ),
    Format(
        "the input of `aws ecs run-task`",
        lambda root: (
            _has("taskDefinition")(root)
            and _any("count", "overrides", "startedBy", "group", "referenceId", "containerInstances")(root)
        ),
        _ONLY_SERVICES,
    ),
    Format("an Ansible playbook", _has("hosts", "tasks")),
    Format("the output of `aws ecs describe-tasks`", _tasks, _ONLY_SERVICES),
    Format("a list of ARNs", _any("taskArns", "containerInstanceArns", "taskDefinitionFamilies"), _ONLY_SERVICES),
    Format(
        "an answer about revisions, deployments or task sets of a service",
        _any("serviceRevisions", "serviceDeployments", "taskSets"),
    ),
    Format("an image definition file of CodePipeline", _has("name", "imageUri"), _NOTHING),
    Format("an App Mesh resource", _any("virtualNodeName", "virtualServiceName", "virtualRouterName", "meshName")),
    Format("an IAM policy", _has("Statement"), _NOTHING),
    Format("a workflow of Step Functions", _has("StartAt", "States"), _NOTHING),
    Format("a workflow", _has("jobs"), _NOTHING),
    Format("an OpenAPI description", _any("openapi", "swagger"), _NOTHING),
    Format("a Nomad job", lambda root: _any("Job")(root) and bool(_mapping(root, "Job")), _WRITE),
    Format(
        "a package.json",
        lambda root: _has("name")(root) and _any("dependencies", "scripts", "devDependencies", "lockfileVersion")(root),
        _NOTHING,
    ),
    Format("settings of a TypeScript compiler", _any("compilerOptions"), _NOTHING),
    Format("a compose file (version 1)", _old_compose, _WRITE),
)


def recognise(root: Node) -> Known | None:
    """Return what a document of another tool is; None if no row knows it."""
    found = next((one for one in FORMATS if one.fits(root)), None)
    if found is None:
        return None
    return Known(found.what, found.road if isinstance(found.road, str) else found.road(root))


#: Texts that are no YAML or JSON: the endings of their files, signs in the text, what they are and their road.
_TEXTS: tuple[tuple[tuple[str, ...], re.Pattern[str], Known], ...] = (
    (
        (".jsonnet", ".libsonnet"),
        re.compile(r"^\s*(local\s+\w+\s*=|function\s*\()|\bstd\.\w+\(|\bimport(str)?\s+['\"]", re.MULTILINE),
        Known("Jsonnet", "evaluate it: `jsonnet FILE > FILE.json`, or `ecspresso render`, and give the result"),
    ),
    (
        (".tf", ".hcl", ".tfvars"),
        re.compile(r'^\s*(resource|module|variable|provider|data|terraform)\s+("[^"\n]*"\s*){0,2}\{', re.MULTILINE),
        Known("a Terraform configuration", _DESCRIBE),
    ),
    (
        (".cue",),
        re.compile(r"^package \w+\s*$", re.MULTILINE),
        Known("CUE", "`cue export FILE > FILE.json`, and give that"),
    ),
    (
        (".dhall",),
        re.compile(r"\A\s*let\s+\w+\s*=.*\bin\b", re.DOTALL),
        Known("Dhall", "`dhall-to-json` makes JSON of it"),
    ),
    (
        (".toml",),
        re.compile(r"^\s*\[[\w.]+\]\s*$\s*^\s*\w+\s*=", re.MULTILINE),
        Known("TOML", "manifests are YAML or JSON"),
    ),
    (
        (".ts", ".js", ".py"),
        re.compile(r"aws-cdk-lib|aws_cdk|@aws-cdk/|@pulumi/"),
        Known("a program of CDK or Pulumi", _DESCRIBE),
    ),
)


def recognise_text(name: str, text: str, *, readable: bool) -> Known | None:
    """Return what a text of another language is. By its content only if it could not be read as YAML or JSON."""
    for endings, signs, known in _TEXTS:
        if name.endswith(endings) or (not readable and signs.search(text)):
            return known
    return None
