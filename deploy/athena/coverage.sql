-- The gaps: days on which the trail holds nothing of an account and region that speak at other times. Where there is a row,
-- every other answer about that day is incomplete.
--
-- Parameters, in order, each in single quotes: first day, last day, and again: '2026-10-01', '2026-10-31'. Days are those of
-- delivery. Give more days than the question has: what was silent all the time is only seen beside what was not. A region
-- that nobody uses has gaps of its own right; `days_with_records` 0 of an account and region means just that.
WITH
-- One row with every account, region and day that has records: the trail is read once.
seen AS (
  SELECT
    array_agg(DISTINCT account) AS accounts,
    array_agg(DISTINCT region) AS regions,
    histogram(concat(account, '/', region, '/', day)) AS events
  FROM cloudtrail
  WHERE day >= replace(?, '-', '/')
    AND day <= replace(?, '-', '/')
),
-- Athena's sequences end at 10,000 values.
days AS (
  SELECT date_format(d, '%Y/%m/%d') AS day
  FROM (VALUES 1) AS one (n)
  CROSS JOIN UNNEST(sequence(DATE '2020-01-01', DATE '2045-12-31', INTERVAL '1' DAY)) AS t (d)
  WHERE date_format(d, '%Y-%m-%d') >= ?
    AND date_format(d, '%Y-%m-%d') <= ?
),
expected AS (
  SELECT
    a.account,
    r.region,
    d.day,
    element_at(s.events, concat(a.account, '/', r.region, '/', d.day)) AS events
  FROM seen AS s
  CROSS JOIN UNNEST(s.accounts) AS a (account)
  CROSS JOIN UNNEST(s.regions) AS r (region)
  CROSS JOIN days AS d
),
counted AS (
  SELECT account, region, day, events, count(events) OVER (PARTITION BY account, region) AS days_with_records
  FROM expected
)
SELECT account, region, day, days_with_records
FROM counted
WHERE events IS NULL
ORDER BY account, region, day
