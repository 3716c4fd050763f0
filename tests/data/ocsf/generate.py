#!/usr/bin/env python3
"""Writes detection_finding.schema.json: OCSF's class Detection Finding as one JSON Schema (draft 2020-12).

    python3 generate.py OCSF_SCHEMA [TAG] > detection_finding.schema.json

OCSF_SCHEMA is a folder with https://github.com/ocsf/ocsf-schema. With a TAG it is a clone, bare or not, and that
release is read; without, the folder's files are read as they are.

The schema that this program reads, and so the file that it writes, is
    Copyright OCSF a Series of LF Projects, LLC; it includes the ICD Schema developed by Symantec, a division of
    Broadcom. Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
The file is a derived work: descriptions are left out, and the definitions are in another language.

What is done, in OCSF's own order:
  * `$include` puts the attributes of a profile in place, marked with the profile's name. What the including file says
    about the same attribute wins; `"profile": null` makes it independent of any profile.
  * `extends` merges attributes, the child's word before the parent's. A child's constraints replace the parent's.
  * What an attribute does not say comes from the dictionary.
  * Attributes of profiles that are not in PROFILES are dropped.
  * The profile `datetime` adds `NAME_dt` (RFC 3339) beside every timestamp `NAME` (milliseconds).
  * `observable.type_id` gets its values from all observables in types, dictionary, objects and classes.
Extensions (windows, linux) are left out.

Only these keywords are used: type, properties, required, additionalProperties, items, enum, pattern, maxLength,
minimum, maximum, anyOf, oneOf, allOf, $ref (always `#/$defs/NAME`). `deprecated` is a note.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

CLASS = "detection_finding"
PROFILES = {"cloud", "datetime", "security_control"}
INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}


def read_files(folder, tag):
    """The core schema's JSON files by path, and a commit where there is one."""
    if tag is None:
        root = Path(folder)
        texts = {str(p.relative_to(root)): p.read_text("utf-8") for p in root.rglob("*.json")}
        commit = None
    else:
        git = ["git", "-C", folder]
        commit = subprocess.run([*git, "rev-parse", f"{tag}^{{commit}}"], check=True, capture_output=True, text=True)
        commit = commit.stdout.strip()
        archive = subprocess.run([*git, "archive", "--format=tar", commit], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            texts = {m.name: tar.extractfile(m).read().decode("utf-8") for m in tar if m.isfile() and m.name.endswith(".json")}
    wanted = re.compile(r"(events|objects|profiles)/|(dictionary|categories|version)\.json$")
    return {path: json.loads(text) for path, text in texts.items() if wanted.match(path)}, commit


def merge(base, top):
    """`top` over `base`, objects into one another, anything else as a whole."""
    out = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if both else value
    return out


class Schema:
    def __init__(self, files):
        self.files = files
        self.dictionary = files["dictionary.json"]["attributes"]
        self.types = files["dictionary.json"]["types"]["attributes"]
        self.version = files["version.json"]["version"]
        self.classes = {item["name"]: item for path, item in files.items() if path.startswith("events/")}
        self.objects = {item["name"]: item for path, item in files.items() if path.startswith("objects/")}

    def included(self, item):
        """The item's own attributes, with what it includes."""
        attributes = dict(item.get("attributes", {}))
        paths = attributes.pop("$include", [])
        out = {}
        for path in [paths] if isinstance(paths, str) else paths:
            part = self.files[path]
            more = {}
            for name, attribute in part["attributes"].items():
                more[name] = merge(part.get("annotations", {}), attribute)
                if part.get("meta") == "profile":
                    more[name]["profile"] = part["name"]
            out = merge(out, more)
        return merge(out, attributes)

    def flat(self, table, name):
        """The item with everything that it inherits."""
        item = table[name]
        own = {**item, "attributes": self.included(item)}
        parent = item.get("extends")
        if parent is None:
            return own
        whole = merge(self.flat(table, parent), own)
        # Constraints are replaced as a whole, by none where the child's are empty.
        if "constraints" in own:
            whole["constraints"] = own["constraints"]
        return whole

    def attributes(self, item):
        """The attributes that exist under PROFILES, as the dictionary completes them."""
        out = {}
        for name, attribute in item["attributes"].items():
            if attribute.get("profile") not in PROFILES | {None}:
                continue
            whole = merge(self.dictionary[name], attribute)
            out[name] = whole
            if "datetime" in PROFILES and whole["type"] == "timestamp_t":
                out[f"{name}_dt"] = {**whole, "type": "datetime_t", "requirement": "optional"}
        return out

    def observables(self):
        """Every value of `observable.type_id`, from wherever observables are defined, with its caption."""
        out = {}
        for table in (self.types, self.dictionary):
            out.update({item["observable"]: item["caption"] for item in table.values() if "observable" in item})
        for table in (self.classes, self.objects):
            for item in table.values():
                if "observable" in item:
                    out[item["observable"]] = item["caption"]
                for name, attribute in item.get("attributes", {}).items():
                    if isinstance(attribute, dict) and "observable" in attribute:
                        caption = attribute.get("caption") or self.dictionary[name]["caption"]
                        out[attribute["observable"]] = f"{item['caption']}: {caption}"
                out.update({number: f"{item['caption']}: {path}" for path, number in item.get("observables", {}).items()})
        return out

    def scalar(self, name):
        """A type of the dictionary."""
        if name == "json_t":
            return {}
        kind = self.types[name]
        plain = {"string_t": "string", "integer_t": "integer", "long_t": "integer", "float_t": "number", "boolean_t": "boolean"}
        out = {"type": plain[kind.get("type", name)]}
        if out["type"] == "integer":
            out.update(INT64)
        if "range" in kind:
            out["minimum"], out["maximum"] = kind["range"]
        if "max_len" in kind:
            out["maxLength"] = kind["max_len"]
        if "regex" in kind:
            out["pattern"] = kind["regex"]
        return out


class Writer:
    def __init__(self, schema):
        self.schema = schema
        self.defs = {}

    def reference(self, name):
        """A reference to a definition, which is made where it is new."""
        if name not in self.defs:
            self.defs[name] = None
            if name in self.schema.types:
                self.defs[name] = self.schema.scalar(name)
            else:
                self.defs[name] = self.item(self.schema.flat(self.schema.objects, name))
        return {"$ref": f"#/$defs/{name}"}

    def value(self, attribute):
        """The form of one attribute."""
        values = attribute.get("enum")
        if values:
            whole = attribute["type"] in ("integer_t", "long_t")
            out = {"enum": sorted(int(v) for v in values) if whole else sorted(values)}
        else:
            out = self.reference(attribute["type"])
        out = {"type": "array", "items": out} if attribute.get("is_array") else dict(out)
        if "@deprecated" in attribute:
            out["deprecated"] = True
        return out

    def item(self, item):
        """A class or an object."""
        attributes = self.schema.attributes(item)
        if item["name"] == "observable":
            numbers = {str(number): {"caption": caption} for number, caption in self.schema.observables().items()}
            attributes["type_id"] = merge(attributes["type_id"], {"enum": numbers})
        if not attributes:
            return {"type": "object"}
        out = {
            "type": "object",
            "additionalProperties": False,
            "required": sorted(name for name, a in attributes.items() if a.get("requirement") == "required"),
            "properties": {name: self.value(attributes[name]) for name in sorted(attributes)},
        }
        present = lambda names: [{"required": [name]} for name in sorted(names) if name in attributes]
        constraints = item.get("constraints") or {}
        if "at_least_one" in constraints:
            out["anyOf"] = present(constraints["at_least_one"])
        if "just_one" in constraints:
            out["oneOf"] = present(constraints["just_one"])
        unknown = set(constraints) - {"at_least_one", "just_one"}
        if unknown:
            raise SystemExit(f"{item['name']}: unknown constraints {unknown}")
        return {key: part for key, part in out.items() if part != []}

    def siblings(self, attributes):
        """For each number with a caption beside it: the caption is the number's own, or the number is 99."""
        for name, attribute in sorted(attributes.items()):
            beside = attribute.get("sibling")
            if beside not in attributes or attribute.get("is_array") or "enum" not in attribute:
                continue
            rows = sorted((int(number), value["caption"]) for number, value in attribute["enum"].items())
            yield {
                "anyOf": [
                    {"properties": {name: {"enum": [n]}} if n == 99 else {name: {"enum": [n]}, beside: {"enum": [caption]}}}
                    for n, caption in rows
                ]
            }


def text(value, depth=0):
    """JSON with one line for each attribute: small, and two versions can be compared."""
    one_line = json.dumps(value, ensure_ascii=False)
    flat = isinstance(value, list) and not any(isinstance(part, dict | list) for part in value)
    if depth > 4 or flat or not isinstance(value, dict | list) or len(one_line) < 100:
        return one_line
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {text(part, depth + 1)}" for key, part in value.items()]
    else:
        parts = [text(part, depth + 1) for part in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    indent = " " * depth
    return f"{start}\n" + ",\n".join(f"{indent} {part}" for part in parts) + f"\n{indent}{end}"


def main():
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    files, commit = read_files(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None)
    schema = Schema(files)

    item = schema.flat(schema.classes, CLASS)
    category = files["categories.json"]["attributes"][item["category"]]
    class_uid = category["uid"] * 1000 + item["uid"]
    own = item["attributes"]
    # These three say which class it is. The dictionary and the parents leave them open.
    own["category_uid"] = {**own["category_uid"], "enum": {str(category["uid"]): {"caption": category["caption"]}}}
    own["class_uid"] = {**own["class_uid"], "enum": {str(class_uid): {"caption": item["caption"]}}}
    activities = merge(schema.dictionary["activity_id"], own["activity_id"])["enum"]
    kinds = {str(class_uid * 100 + int(n)): {"caption": f"{item['caption']}: {a['caption']}"} for n, a in activities.items()}
    own["type_uid"] = {**own["type_uid"], "enum": kinds}

    writer = Writer(schema)
    body = writer.item(item)
    attributes = schema.attributes(item)
    pairs = [{"properties": {"activity_id": {"enum": [n]}, "type_uid": {"enum": [class_uid * 100 + n]}}} for n in sorted(map(int, activities))]
    body["allOf"] = [{"anyOf": pairs}, *writer.siblings(attributes)]
    out = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"Generated by generate.py from ocsf-schema {schema.version}"
        + (f", commit {commit}" if commit else "")
        + f"; class {CLASS} ({class_uid}), profiles {', '.join(sorted(PROFILES))}; no extensions. "
        "Copyright OCSF a Series of LF Projects, LLC. Apache License 2.0. Do not edit.",
        "title": item["caption"],
        **body,
        "$defs": {name: writer.defs[name] for name in sorted(writer.defs)},
    }
    sys.stdout.write(text(out) + "\n")


if __name__ == "__main__":
    main()
