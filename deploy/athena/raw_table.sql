-- CloudTrail as it lies in the trail's bucket. Costs nothing to keep: only a definition.
--
-- Put in your own: bucket (twice), accounts, regions, and the day on which the trail began. An organization's trail has its
-- id in the path: AWSLogs/o-…/${account}/CloudTrail/….
--
-- Columns, SerDe and input format are those of "Create a table for CloudTrail logs in Athena using partition projection" in
-- the Athena User Guide, with sourceIdentity and inScopeOf added. The input format turns requestParameters and its like into text.
-- A day in the path is the day of delivery, minutes (rarely hours) after eventTime.
CREATE EXTERNAL TABLE cloudtrail (
  eventversion string,
  useridentity struct<
    type: string,
    principalid: string,
    arn: string,
    accountid: string,
    invokedby: string,
    accesskeyid: string,
    username: string,
    identityprovider: string,
    inscopeof: struct<
      issuertype: string,
      credentialsissuedto: string>,
    onbehalfof: struct<
      userid: string,
      identitystorearn: string>,
    sessioncontext: struct<
      attributes: struct<
        mfaauthenticated: string,
        creationdate: string>,
      sessionissuer: struct<
        type: string,
        principalid: string,
        arn: string,
        accountid: string,
        username: string>,
      sourceidentity: string,
      ec2roledelivery: string,
      webidfederationdata: struct<
        federatedprovider: string,
        attributes: map<string,string>>>>,
  eventtime string,
  eventsource string,
  eventname string,
  awsregion string,
  sourceipaddress string,
  useragent string,
  errorcode string,
  errormessage string,
  requestparameters string,
  responseelements string,
  additionaleventdata string,
  requestid string,
  eventid string,
  readonly string,
  resources array<struct<
    arn: string,
    accountid: string,
    type: string>>,
  eventtype string,
  recipientaccountid string,
  serviceeventdetails string,
  sharedeventid string,
  vpcendpointid string,
  eventcategory string
)
PARTITIONED BY (
  account string,
  region string,
  day string
)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION 's3://YOUR-TRAIL-BUCKET/AWSLogs/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.account.type' = 'enum',
  'projection.account.values' = '111122223333,222233334444,333344445555',
  'projection.region.type' = 'enum',
  'projection.region.values' = 'us-east-1,us-west-2,eu-central-1',
  'projection.day.type' = 'date',
  'projection.day.format' = 'yyyy/MM/dd',
  'projection.day.interval' = '1',
  'projection.day.interval.unit' = 'DAYS',
  'projection.day.range' = '2026/01/01,NOW',
  'storage.location.template' = 's3://YOUR-TRAIL-BUCKET/AWSLogs/${account}/CloudTrail/${region}/${day}'
)
