-- geophone's own archive: one line per invocation, already attributed, gzip JSON lines under dept=…/date=YYYY-MM-DD/.
--
-- Put in your own: bucket (twice), departments, and the first day. List every value of the department tag, and `unknown`,
-- under which calls of no known department lie: a department that is not in the list is not read.
-- A broken line fails the query: an auditor must not be given fewer rows without a word.
CREATE EXTERNAL TABLE invocations_enriched (
  time string,
  event_id string,
  department string,
  department_source string,
  clearance string,
  person string,
  model string,
  family string,
  operation string,
  outcome string,
  error_code string,
  region string,
  account string,
  source_ip string,
  access_key_id string,
  input_tokens bigint,
  output_tokens bigint
)
PARTITIONED BY (
  dept string,
  `date` string
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://YOUR-ARCHIVE-BUCKET/invocations/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dept.type' = 'enum',
  'projection.dept.values' = 'legal,compliance,marketing,engineering,unknown',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.interval' = '1',
  'projection.date.interval.unit' = 'DAYS',
  'projection.date.range' = '2026-01-01,NOW',
  'storage.location.template' = 's3://YOUR-ARCHIVE-BUCKET/invocations/dept=${dept}/date=${date}'
)
