-- Model invocations in geophone's archive per department, person, model and day, with their tokens.
--
-- Parameters, in order, each in single quotes:
--   since, until    the days to read
--   department      'legal', as the folder is named; 'unknown' for calls of no known department; '*' for all
--   since, until    `[since, until)` on the call's time: '2026-10-01T00:00:00Z', '2026-11-01T00:00:00Z'
--   model           a pattern over the base model id, as in invocations.sql
--
-- A line may be in the archive twice where a shard was read again after a restart; an event counts once.
WITH
lines AS (
  SELECT
    e.*,
    row_number() OVER (PARTITION BY event_id ORDER BY CASE WHEN department <> '' THEN 0 ELSE 1 END, time) AS copy
  FROM invocations_enriched AS e
  WHERE "date" >= substr(?, 1, 10)
    AND "date" <= substr(?, 1, 10)
    AND ? IN ('*', dept)
    AND time >= ?
    AND time < ?
    AND model LIKE replace(replace(replace(replace(replace(?, '!', '!!'), '%', '!%'), '_', '!_'), '*', '%'), chr(63), '_') ESCAPE '!'
)
SELECT
  substr(time, 1, 10) AS day,
  department,
  person,
  model,
  count_if(outcome = 'allowed') AS allowed,
  count_if(outcome = 'denied') AS denied,
  count_if(outcome = 'error') AS failed,
  sum(input_tokens) AS input_tokens,
  sum(output_tokens) AS output_tokens
FROM lines
WHERE copy = 1
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
