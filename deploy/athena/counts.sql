-- Model invocations in CloudTrail per department, person, model and day: how many were allowed, denied, or failed.
--
-- Parameters: those of invocations.sql, in the same order.
--
-- ── from here to the next such line the same in invocations.sql, counts.sql and no_department.sql ──
WITH
-- The session tag that names the department, as `department_tag` in geophone.toml. Compared without case.
settings AS (
  SELECT 'dept' AS department_tag
),
-- The trail is read once: calls and the records that issued access keys come out of one scan, and windows (not joins) bring
-- them together, because Athena reads the bucket again for every branch of a join.
-- Two days before: a session lasts 36 hours at most. One day after: files come after the calls that are in them.
records AS (
  SELECT
    eventsource IN ('sts.amazonaws.com', 'cognito-identity.amazonaws.com') AS is_grant,
    coalesce(nullif(eventid, ''), concat(coalesce(requestid, ''), '/', eventname, '/', eventtime)) AS event_key,
    coalesce(useridentity.type, '') = 'AWSAccount' AS is_called_account,
    CASE WHEN sharedeventid <> '' THEN concat(sharedeventid, '/', coalesce(eventtype, '')) END AS shared_key,
    eventid, eventtime, eventname, awsregion, sourceipaddress, useridentity, requestparameters, responseelements, resources,
    coalesce(errorcode, '') AS error_code,
    coalesce(errormessage, '') AS error_message,
    coalesce(lower(json_extract_scalar(requestparameters, '$.callWithBearerToken')), '') = 'true'
      OR coalesce(lower(json_extract_scalar(additionaleventdata, '$.callWithBearerToken')), '') = 'true' AS with_bearer_token,
    coalesce(nullif(recipientaccountid, ''), useridentity.accountid, '') AS account_id
  FROM cloudtrail
  WHERE day >= date_format(CAST(substr(?, 1, 10) AS DATE) - INTERVAL '2' DAY, '%Y/%m/%d')
    AND day <= date_format(CAST(substr(?, 1, 10) AS DATE) + INTERVAL '1' DAY, '%Y/%m/%d')
    AND (
      (
        eventtime >= ? AND eventtime < ?
        AND (
          (
            eventsource IN (
              'bedrock.amazonaws.com', 'bedrock-runtime.amazonaws.com', 'bedrock-agent.amazonaws.com',
              'bedrock-agent-runtime.amazonaws.com'
            )
            AND eventname IN (
              'InvokeModel', 'InvokeModelWithResponseStream', 'InvokeModelWithBidirectionalStream', 'Converse',
              'ConverseStream', 'StartAsyncInvoke', 'InvokeAgent', 'InvokeInlineAgent', 'RetrieveAndGenerate',
              'RetrieveAndGenerateStream', 'InvokeFlow', 'StartFlowExecution'
            )
          )
          OR (eventsource = 'bedrock-mantle.amazonaws.com' AND eventname = 'CreateInference')
          OR (eventsource = 'bedrock-agentcore.amazonaws.com' AND eventname LIKE 'Invoke%')
        )
        -- The companion of a streaming call is no call.
        AND coalesce(eventtype, '') <> 'AwsServiceEvent'
        -- What a VPC endpoint lets through has a record of its own.
        AND (coalesce(eventtype, '') <> 'AwsVpceEvents' OR coalesce(errorcode, '') <> '')
      )
      OR (
        coalesce(errorcode, '') = ''
        AND (
          (
            eventsource = 'sts.amazonaws.com'
            AND eventname IN (
              'AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'GetFederationToken', 'GetSessionToken'
            )
          )
          OR (eventsource = 'cognito-identity.amazonaws.com' AND eventname = 'GetCredentialsForIdentity')
        )
      )
    )
),
-- A trail has an event more than once. A call that two accounts see has two records under one sharedEventID; the called
-- account's does not name the caller and counts only where the caller's own is not there.
numbered AS (
  SELECT
    r.*,
    row_number() OVER (
      PARTITION BY is_grant, is_called_account, CASE WHEN is_called_account THEN event_key ELSE coalesce(shared_key, event_key) END
      ORDER BY event_key, account_id
    ) AS copy,
    bool_or(NOT is_called_account) OVER (PARTITION BY is_grant, coalesce(shared_key, event_key)) AS has_caller
  FROM records AS r
),
-- What a record that issued an access key says: whose it is, and the tags in the three forms in which they are written.
facts AS (
  SELECT
    n.*,
    lower(s.department_tag) AS department_tag,
    CASE
      WHEN is_grant THEN json_extract_scalar(responseelements, '$.credentials.accessKeyId')
      ELSE useridentity.accesskeyid
    END AS access_key,
    CASE WHEN is_grant AND eventname <> 'GetCredentialsForIdentity' THEN nullif(useridentity.accesskeyid, '') END AS parent,
    CASE
      WHEN eventname = 'AssumeRoleWithWebIdentity'
        THEN coalesce(
          nullif(json_extract_scalar(responseelements, '$.subjectFromWebIdentityToken'), ''), nullif(useridentity.username, '')
        )
      -- A transient subject is another one at each login; the session's name is the identity provider's word, too.
      WHEN eventname = 'AssumeRoleWithSAML' AND json_extract_scalar(responseelements, '$.subjectType') = 'transient'
        THEN nullif(regexp_extract(json_extract_scalar(responseelements, '$.assumedRoleUser.arn'), ':assumed-role/[^/]*/(.+)$', 1), '')
      WHEN eventname = 'AssumeRoleWithSAML'
        THEN coalesce(nullif(json_extract_scalar(responseelements, '$.subject'), ''), nullif(useridentity.username, ''))
    END AS subject,
    CASE
      WHEN is_grant
        THEN coalesce(
          nullif(json_extract_scalar(requestparameters, '$.sourceIdentity'), ''), nullif(useridentity.sessioncontext.sourceidentity, '')
        )
    END AS source_identity,
    CASE
      WHEN eventname = 'AssumeRole'
        THEN nullif(element_at(useridentity.sessioncontext.webidfederationdata.attributes, 'cognito-identity.amazonaws.com:sub'), '')
      WHEN eventname = 'GetCredentialsForIdentity'
        THEN coalesce(
          nullif(json_extract_scalar(responseelements, '$.identityId'), ''),
          nullif(json_extract_scalar(requestparameters, '$.identityId'), '')
        )
    END AS cognito_identity,
    CASE
      WHEN eventname = 'AssumeRole'
        THEN nullif(regexp_extract(useridentity.arn, ':assumed-role/AWSReservedSSO_[^/]*/(.+)$', 1), '')
      WHEN eventname = 'AssumeRoleWithSAML'
        THEN nullif(regexp_extract(json_extract_scalar(responseelements, '$.assumedRoleUser.arn'), ':assumed-role/[^/]*/(.+)$', 1), '')
    END AS asserted_name,
    CASE WHEN is_grant THEN TRY_CAST(json_extract(requestparameters, '$.principalTags') AS MAP(VARCHAR, VARCHAR)) END AS asserted_tags,
    CASE WHEN is_grant THEN TRY_CAST(json_extract(requestparameters, '$.tags') AS ARRAY(MAP(VARCHAR, VARCHAR))) END AS asked_tags,
    CASE
      WHEN is_grant THEN TRY_CAST(json_extract(requestparameters, '$.incomingTransitiveTags') AS MAP(VARCHAR, VARCHAR))
    END AS incoming_tags,
    CASE WHEN is_grant THEN TRY_CAST(json_extract(requestparameters, '$.transitiveTagKeys') AS ARRAY(VARCHAR)) END AS transitive_keys
  FROM numbered AS n
  CROSS JOIN settings AS s
  WHERE is_grant OR (copy = 1 AND (NOT is_called_account OR NOT has_caller))
),
tagged AS (
  SELECT
    f.*,
    coalesce(nullif(access_key, ''), event_key) AS session_key,
    coalesce(
      element_at(asserted_tags, element_at(filter(map_keys(asserted_tags), k -> lower(k) = department_tag), 1)),
      element_at(element_at(filter(asked_tags, t -> lower(element_at(t, 'key')) = department_tag), 1), 'value'),
      element_at(incoming_tags, element_at(filter(map_keys(incoming_tags), k -> lower(k) = department_tag), 1))
    ) AS own_tag,
    coalesce(cardinality(filter(transitive_keys, k -> lower(k) = department_tag)) > 0, FALSE) AS is_passed_on,
    coalesce(cardinality(map_keys(incoming_tags)) > 0, FALSE) AS lists_incoming
  FROM facts AS f
),
-- The session of each access key. Two records may describe one key (Cognito's and STS's, or two accounts'): s1 is their sum,
-- on the calls of that session and on the records that issued it.
step_1 AS (
  SELECT
    t.*,
    CAST(ROW(
      coalesce(
        min(subject) OVER (PARTITION BY session_key),
        min(source_identity) OVER (PARTITION BY session_key),
        min(cognito_identity) OVER (PARTITION BY session_key),
        min(asserted_name) OVER (PARTITION BY session_key)
      ),
      min(own_tag) OVER (PARTITION BY session_key),
      bool_or(is_passed_on) OVER (PARTITION BY session_key),
      bool_or(lists_incoming) OVER (PARTITION BY session_key),
      min(parent) OVER (PARTITION BY session_key),
      -- Cognito's own record knows no tags.
      bool_or(is_grant AND eventname <> 'GetCredentialsForIdentity') OVER (PARTITION BY session_key)
    ) AS ROW(person VARCHAR, tag VARCHAR, passes_on BOOLEAN, lists_incoming BOOLEAN, parent VARCHAR, is_known BOOLEAN)) AS s1
  FROM tagged AS t
),
-- Then back along the chain of roles: s2 is the session that took the role, s3 the one before it. Six at most.
step_2 AS (
  SELECT t.*, arbitrary(CASE WHEN is_grant THEN s1 END) OVER (
      PARTITION BY CASE WHEN is_grant THEN access_key ELSE coalesce(s1.parent, event_key) END
    ) AS s2
  FROM step_1 AS t
),
step_3 AS (
  SELECT t.*, arbitrary(CASE WHEN is_grant THEN s1 END) OVER (
      PARTITION BY CASE WHEN is_grant THEN access_key ELSE coalesce(s2.parent, event_key) END
    ) AS s3
  FROM step_2 AS t
),
step_4 AS (
  SELECT t.*, arbitrary(CASE WHEN is_grant THEN s1 END) OVER (
      PARTITION BY CASE WHEN is_grant THEN access_key ELSE coalesce(s3.parent, event_key) END
    ) AS s4
  FROM step_3 AS t
),
step_5 AS (
  SELECT t.*, arbitrary(CASE WHEN is_grant THEN s1 END) OVER (
      PARTITION BY CASE WHEN is_grant THEN access_key ELSE coalesce(s4.parent, event_key) END
    ) AS s5
  FROM step_4 AS t
),
step_6 AS (
  SELECT t.*, arbitrary(CASE WHEN is_grant THEN s1 END) OVER (
      PARTITION BY CASE WHEN is_grant THEN access_key ELSE coalesce(s5.parent, event_key) END
    ) AS s6
  FROM step_5 AS t
),
calls AS (
  SELECT
    eventtime, eventid, eventname, awsregion, account_id, sourceipaddress, useridentity, error_code, error_message, access_key,
    with_bearer_token,
    -- A tag of an earlier session goes on only where that session or one before it marked it as transitive, and not past a
    -- record that lists what came along.
    CASE
      WHEN s1.tag IS NOT NULL THEN s1.tag
      WHEN s1.lists_incoming THEN NULL
      WHEN s2.tag IS NOT NULL
        THEN CASE WHEN s2.passes_on OR s3.passes_on OR s4.passes_on OR s5.passes_on OR s6.passes_on THEN s2.tag END
      WHEN s2.lists_incoming THEN NULL
      WHEN s3.tag IS NOT NULL THEN CASE WHEN s3.passes_on OR s4.passes_on OR s5.passes_on OR s6.passes_on THEN s3.tag END
      WHEN s3.lists_incoming THEN NULL
      WHEN s4.tag IS NOT NULL THEN CASE WHEN s4.passes_on OR s5.passes_on OR s6.passes_on THEN s4.tag END
      WHEN s4.lists_incoming THEN NULL
      WHEN s5.tag IS NOT NULL THEN CASE WHEN s5.passes_on OR s6.passes_on THEN s5.tag END
      WHEN s5.lists_incoming THEN NULL
      WHEN s6.passes_on THEN s6.tag
    END AS department,
    coalesce(
      nullif(useridentity.sessioncontext.sourceidentity, ''),
      nullif(element_at(useridentity.sessioncontext.webidfederationdata.attributes, 'cognito-identity.amazonaws.com:sub'), ''),
      s1.person, s2.person, s3.person, s4.person, s5.person, s6.person,
      -- Identity Center names sessions after its users.
      nullif(regexp_extract(useridentity.arn, ':assumed-role/AWSReservedSSO_[^/]*/(.+)$', 1), ''),
      nullif(useridentity.onbehalfof.userid, '')
    ) AS person,
    s1.is_known AS has_grant,
    CASE
      WHEN error_code = '' AND error_message = '' THEN 'allowed'
      WHEN error_code = 'VpceAccessDenied'
        OR regexp_like(error_code, '^(AccessDenied|UnauthorizedOperation|Client[.]UnauthorizedOperation|NotAuthorized)')
        THEN 'denied'
      ELSE 'error'
    END AS outcome,
    trim(coalesce(
      nullif(json_extract_scalar(requestparameters, '$.modelId'), ''),
      nullif(json_extract_scalar(requestparameters, '$.model'), ''),
      nullif(element_at(filter(resources, r -> r.type = 'AWS::Bedrock::Model'), 1).arn, '')
    )) AS asked_model,
    -- Most refusals have no parameters: the resource in the message is all there is.
    regexp_replace(regexp_extract(error_message, '(?s)^.* on resource: (\S*)', 1), '[.,]+$', '') AS refused_resource
  FROM step_6
  WHERE NOT is_grant
),
named AS (
  SELECT
    c.*,
    coalesce(asked_model, CASE
      WHEN outcome = 'denied' AND refused_resource LIKE 'arn:%' AND refused_resource LIKE '%:bedrock%' THEN refused_resource
    END) AS written
  FROM calls AS c
),
parsed AS (
  SELECT
    n.*,
    nullif(regexp_extract(written, '^arn:[^:]*:[^:]*:[^:]*:[^:]*:(.+)$', 1), '') AS resource,
    CASE
      WHEN regexp_like(written, '^arn:[^:]*:[^:]*:[^:]*:[^:]*:.')
        THEN coalesce(nullif(regexp_extract(written, '^arn:[^:]*:[^:]*:[^:]*:[^:]*:[^/]*/(.*)$', 1), ''), '')
      ELSE written
    END AS model_name
  FROM named AS n
),
models AS (
  SELECT name, min(model) AS model FROM model_map GROUP BY name
),
based AS (
  SELECT
    p.*,
    CASE
      WHEN coalesce(by_arn.model, by_name.model) IS NOT NULL THEN coalesce(by_arn.model, by_name.model)
      WHEN resource IS NULL OR regexp_like(resource, '^(foundation-model|inference-profile)(/|$)') THEN model_name
      WHEN regexp_like(resource, '^custom-model/[^/]*/') THEN split_part(model_name, '/', 1)
      ELSE resource
    END AS base
  FROM parsed AS p
  LEFT JOIN models AS by_arn ON by_arn.name = p.written
  LEFT JOIN models AS by_name ON by_name.name = p.model_name
),
invocations AS (
  SELECT
    eventtime AS time,
    eventid AS event_id,
    coalesce(department, '') AS department,
    coalesce(person, '') AS person,
    coalesce(
      CASE
        -- The area of a cross-region inference profile.
        WHEN regexp_like(base, '^(us|eu|apac|jp|au|ca|sa|us-gov|global|in)[.][^.]*[.]') THEN substr(base, strpos(base, '.') + 1)
        ELSE base
      END,
      ''
    ) AS model,
    eventname AS operation,
    outcome,
    error_code,
    awsregion AS region,
    account_id AS account,
    sourceipaddress AS source_ip,
    coalesce(access_key, '') AS access_key_id,
    useridentity,
    with_bearer_token,
    has_grant
  FROM based
)
-- ── to here ──
SELECT
  substr(time, 1, 10) AS day,
  department,
  person,
  model,
  count_if(outcome = 'allowed') AS allowed,
  count_if(outcome = 'denied') AS denied,
  count_if(outcome = 'error') AS failed
FROM invocations
WHERE ? IN ('*', department)
  AND model LIKE replace(replace(replace(replace(replace(?, '!', '!!'), '%', '!%'), '_', '!_'), '*', '%'), chr(63), '_') ESCAPE '!'
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
