//! CloudTrail records that a test names itself: one refused or granted Bedrock call of one session.

use std::time::{SystemTime, UNIX_EPOCH};

use geophone::time::EventTime;
use serde_json::{Value, json};

const MODEL: &str = "anthropic.claude-3-sonnet-20240229-v1:0";

/// Now, in whole seconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

/// An access key that belongs to nobody else in the test.
pub fn key(name: &str, number: usize) -> String {
    format!("ASIA{name}{number:04}")
}

/// The `number`th call of a session, refused for want of a permission. Its event id follows from key and number.
pub fn denied(key: &str, number: usize, time: i64) -> String {
    let mut event = call(key, number, time);
    event["errorCode"] = json!("AccessDenied");
    event["errorMessage"] = json!(format!(
        "User: arn:aws:sts::111122223333:assumed-role/analyst/{key} is not authorized to perform: bedrock:InvokeModel on resource: \
         arn:aws:bedrock:us-east-1::foundation-model/{MODEL} because no identity-based policy allows the bedrock:InvokeModel action"
    ));
    event.to_string()
}

/// The same, granted.
pub fn granted(key: &str, number: usize, time: i64) -> String {
    call(key, number, time).to_string()
}

fn call(key: &str, number: usize, time: i64) -> Value {
    json!({
        "eventVersion": "1.10", "eventType": "AwsApiCall", "eventCategory": "Management", "managementEvent": true, "readOnly": true,
        "eventID": format!("{key}-{number}"), "requestID": format!("request-{key}-{number}"),
        "eventTime": EventTime::from_unix(time).to_string(),
        "eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel", "awsRegion": "us-east-1",
        "sourceIPAddress": "10.0.0.7", "userAgent": "aws-sdk-rust/1.3", "recipientAccountId": "111122223333",
        "requestParameters": { "modelId": MODEL }, "responseElements": null,
        "userIdentity": {
            "type": "AssumedRole", "principalId": format!("AROAEXAMPLE:{key}"), "accountId": "111122223333", "accessKeyId": key,
            "arn": format!("arn:aws:sts::111122223333:assumed-role/analyst/{key}"),
            "sessionContext": { "sessionIssuer": {
                "type": "Role", "principalId": "AROAEXAMPLE", "accountId": "111122223333", "userName": "analyst",
                "arn": "arn:aws:iam::111122223333:role/analyst"
            }, "attributes": { "mfaAuthenticated": "false" } }
        }
    })
}
