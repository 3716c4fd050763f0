"""Athena's SQL on DuckDB: the files of this folder as they are, translated by sqlglot. Only where the tables lie is ours."""

import pathlib
import re

import duckdb
import sqlglot
from sqlglot import exp

FOLDER = pathlib.Path(__file__).resolve().parents[1]
# Hive knows no case and its SerDe heeds none; DuckDB's reader of JSON does.
CASED = {name.lower(): name for name in """
    eventVersion userIdentity principalId accountId invokedBy accessKeyId userName identityProvider inScopeOf issuerType credentialsIssuedTo onBehalfOf userId identityStoreArn
    sessionContext mfaAuthenticated creationDate sessionIssuer sourceIdentity ec2RoleDelivery webIdFederationData federatedProvider
    eventTime eventSource eventName awsRegion sourceIPAddress userAgent errorCode errorMessage requestParameters responseElements
    additionalEventData requestID eventID readOnly eventType recipientAccountId serviceEventDetails sharedEventID vpcEndpointId
    eventCategory""".split()}


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def translate(sql):
    """The one statement of `sql` in DuckDB's words."""
    (statement,) = sqlglot.transpile(sql, read="athena", write="duckdb")
    return statement


class Table:
    """A table as its CREATE statement defines it: columns, partitions, and the path that leads to a partition."""

    def __init__(self, name):
        created = sqlglot.parse_one(text(name), read="athena")
        self.name = created.this.this.name
        self.columns = {column.name: column.args["kind"] for column in created.this.expressions}
        partitions = created.find(exp.PartitionedByProperty)
        self.partitions = [column.name for column in partitions.this.expressions]
        for partition in self.partitions:
            self.columns.pop(partition, None)
        properties = {p.name.strip("'"): p.args["value"].name for p in created.args["properties"].expressions if type(p) is exp.Property}
        self.template = properties["storage.location.template"]
        self.projected = {key.split(".")[1] for key in properties if key.startswith("projection.") and key.count(".") > 1}

    def path_regex(self):
        """Takes a partition's values out of a file's path."""
        behind_bucket = self.template.split("/", 3)[3]
        literal = [re.escape(part) for part in re.split(r"\$\{\w+\}", behind_bucket)]
        values = [r"(\d{4}/\d\d/\d\d)" if name == "day" else "([^/]+)" for name in re.findall(r"\$\{(\w+)\}", behind_bucket)]
        return "".join(part + value for part, value in zip(literal, [*values, ""], strict=True)) + "/"

    def partition_columns(self):
        named = re.findall(r"\$\{(\w+)\}", self.template)
        return ", ".join(f"regexp_extract(filename, '{self.path_regex()}', {number}) AS \"{name}\"" for number, name in enumerate(named, 1))


def cased_type(kind, known):
    """The type with the members' names as CloudTrail writes them. `resources` alone has its ARN in capitals."""
    kind = kind.copy()
    for member in kind.find_all(exp.ColumnDef):
        lower = member.name
        member.set("this", exp.to_identifier("ARN" if known == "resources" and lower == "arn" else CASED.get(lower, lower)))
    return kind.sql(dialect="duckdb")


def quoted(path):
    return str(path).replace("'", "''")


class Athena:
    """The tables over `trail` (and `archive`), and the queries of this folder."""

    def __init__(self, trail, models=None, archive=None, database=":memory:"):
        self.db = duckdb.connect(database)
        self.db.execute("SET preserve_insertion_order = false")
        raw = Table("raw_table.sql")
        assert raw.projected == set(raw.partitions), f"partitions without a projection: {raw.partitions} {raw.projected}"
        members = ", ".join(f"{CASED.get(name, name)} {cased_type(kind, name)}" for name, kind in raw.columns.items())
        self.db.execute(
            f"CREATE VIEW {raw.name} AS SELECT unnest(record), {raw.partition_columns()} FROM (SELECT unnest(Records) AS record, filename FROM "
            f"read_json('{quoted(trail)}/AWSLogs/*/CloudTrail/**/*.json.gz', columns = {{'Records': 'STRUCT({members})[]'}}, "
            "filename = true, maximum_object_size = 33554432))"
        )
        # The view as delivered must at least be understood; its rows are the reader's own.
        self.db.execute(translate(text("model_map.sql")))
        if models:
            self.db.execute(f"CREATE OR REPLACE VIEW model_map AS SELECT name, model FROM read_csv('{quoted(models)}', header = true, all_varchar = true)")
        if archive:
            table = Table("enriched_table.sql")
            members = ", ".join(f"'{name}': '{kind.sql('duckdb')}'" for name, kind in table.columns.items())
            self.db.execute(
                f"CREATE VIEW {table.name} AS SELECT * EXCLUDE (filename), {table.partition_columns()} FROM read_json("
                f"'{quoted(archive)}/**/*.json.gz', columns = {{{members}}}, format = 'newline_delimited', filename = true, hive_partitioning = false)"
            )

    def keep(self):
        """Reads the trail once and for all, for many questions."""
        self.db.execute("CREATE TABLE kept AS SELECT * FROM cloudtrail")
        self.db.execute("CREATE OR REPLACE VIEW cloudtrail AS SELECT * FROM kept")

    def ask(self, name, parameters, change=None):
        """Rows of a query of this folder, as tuples."""
        sql = text(name)
        if change:
            assert change[0] in sql, f"{name} has no {change[0]!r}"
            sql = sql.replace(*change)
        return self.db.execute(translate(sql), list(parameters)).fetchall()
