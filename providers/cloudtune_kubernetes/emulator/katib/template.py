"""The object that a trial runs: the Experiment's template with the trial's values in it (pkg/controller.v1beta1/experiment/manifest)."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

_META = re.compile(r"\$\{trialSpec\.(Name|Namespace|Kind|APIVersion|(?:Labels|Annotations)\[(.+)\])\}")


class BadTemplate(ValueError):
    """A template cannot be filled."""


def filled(
    template: Mapping[str, Any], text: str | None, name: str, namespace: str, values: Mapping[str, str]
) -> dict[str, Any]:
    """Return the object of a trial.

    Args:
        template: the trialTemplate.
        text: the YAML of its config map; None where it has its own trialSpec.
        name: of the trial.
        namespace: of it.
        values: of the parameters, by name.

    Raises:
        BadTemplate: a parameter of the template has no value, or the result is no object.
    """
    said = json.dumps(template["trialSpec"]) if text is None else text
    head = template["trialSpec"] if text is None else yaml.safe_load(text)
    for each in template["trialParameters"]:
        reference = each["reference"]
        value = _meta(reference, name, namespace, head) if reference not in values else values[reference]
        if value is None:
            raise BadTemplate(f"unable to find parameter: {reference} in parameter assignment")
        said = said.replace(f"${{trialParameters.{each['name']}}}", value)  # as it stands, whatever is around it
    try:
        made = yaml.safe_load(said)
    except yaml.YAMLError as error:
        raise BadTemplate(f"the template with its parameters is no YAML: {error}") from None
    if not isinstance(made, dict):
        raise BadTemplate("the template is no object")
    meta = {**(made.get("metadata") or {}), "name": name, "namespace": namespace}
    return {**made, "metadata": meta}


def _meta(reference: str, name: str, namespace: str, head: Mapping[str, Any]) -> str | None:
    found = _META.fullmatch(reference)
    if found is None:
        return None
    what, key = found[1].partition("[")[0], found[2]
    if key is not None:
        held: Any = (head.get("metadata") or {}).get(what.lower()) or {}
        return held.get(key) if isinstance(held, Mapping) else None
    return {"Name": name, "Namespace": namespace, "Kind": head.get("kind"), "APIVersion": head.get("apiVersion")}[what]
