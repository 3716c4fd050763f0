"""Reads CloudFormation templates and works out their intrinsic functions, without AWS."""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Json = Any
GONE = object()  # AWS::NoValue


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, and without YAML's own ideas of dates and of yes and no."""


# "2012-10-17" is a text for CloudFormation, and so is `on`.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "Ref":
        return {"Ref": value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load(path: pathlib.Path) -> dict[str, Json]:
    """A template, its short forms written out."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)


@dataclass
class Known:
    """What is known beside a template: values of parameters, and what AWS would say of resources and other stacks."""

    parameters: dict[str, Json] = field(default_factory=dict)
    account: str = "111122223333"
    region: str = "us-east-1"
    stack: str = "geophone-perimeter"
    resources: dict[str, str] = field(default_factory=dict)  # what Ref says of a resource
    attributes: dict[str, str] = field(default_factory=dict)  # what GetAtt says: "Key.Arn"
    exports: dict[str, str] = field(default_factory=dict)


class Resolver:
    """Works out the functions of one template."""

    def __init__(self, template: dict[str, Json], known: Known):
        self._template, self._known = template, known
        self._parameters = {
            name: known.parameters.get(name, given.get("Default")) for name, given in template.get("Parameters", {}).items()
        }
        missing = [name for name, value in self._parameters.items() if value is None]
        if missing:
            raise ValueError(f"parameters without a value: {', '.join(missing)}")

    def resources(self) -> dict[str, dict[str, Json]]:
        """Resources whose conditions hold, with their properties worked out."""
        out = {}
        for name, resource in self._template["Resources"].items():
            if "Condition" not in resource or self.condition(resource["Condition"]):
                out[name] = {**resource, "Properties": self.value(resource.get("Properties", {}))}
        return out

    def condition(self, name: str) -> bool:
        """Whether a condition holds."""
        return bool(self.value(self._template["Conditions"][name]))

    def value(self, node: Json) -> Json:
        """`node` with its functions worked out."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str):
                return self.condition(argument)
            if name.startswith("Fn::"):
                return self._function(name.removeprefix("Fn::"), argument)
        values = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not GONE}

    def _function(self, name: str, argument: Json) -> Json:
        if name == "If":
            return self.value(argument[1] if self.condition(argument[0]) else argument[2])
        if name == "Sub":
            return self._sub(*(argument if isinstance(argument, list) else (argument, {})))
        if name == "GetAtt":
            return self._attribute(*argument)
        argument = self.value(argument)
        if name == "Equals":
            return argument[0] == argument[1]
        if name == "Not":
            return not argument[0]
        if name == "Join":
            return argument[0].join(argument[1])
        if name == "ImportValue":
            return self._known.exports.get(argument, f"import-{argument.replace(':', '-')}")
        raise ValueError(f"Fn::{name} is not understood here")

    def _ref(self, name: str) -> Json:
        pseudo = {
            "AWS::AccountId": self._known.account,
            "AWS::Region": self._known.region,
            "AWS::Partition": "aws",
            "AWS::StackName": self._known.stack,
            "AWS::NoValue": GONE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self._parameters:
            value = self._parameters[name]
            kind = self._template["Parameters"][name]["Type"]
            is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
            return value.split(",") if is_list and isinstance(value, str) else value
        if name in self._template["Resources"]:
            return self._known.resources.get(name, f"ref-{name}")
        raise ValueError(f"nothing is called {name}")

    def _attribute(self, name: str, attribute: str) -> str:
        if name not in self._template["Resources"]:
            raise ValueError(f"no resource is called {name}")
        return self._known.attributes.get(f"{name}.{attribute}", f"{attribute.lower()}-of-{name}")

    def _sub(self, text: str, more: dict[str, Json]) -> str:
        def filled(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in more:
                return str(self.value(more[name]))
            return str(self._attribute(*name.split(".", 1)) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", filled, text)
