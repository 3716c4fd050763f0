//! CloudTrail records with a known meaning: calls that are refused, calls that are fine, calls of another department's
//! model, and the records of STS that say whose a session is.

use geophone_company::wire;
use serde_json::{Value, json};

const CLAUDE: &str = "anthropic.claude-3-sonnet-20240229-v1:0";
const ACCOUNT: &str = "111122223333";
/// The key of the build's user.
pub const USER_KEY: &str = "AKIABUILD";
/// The user of the build.
const USER: &str = "arn:aws:iam::111122223333:user/build";

fn call(id: &str, time: &str, user_identity: Value) -> Value {
    json!({
        "eventVersion": "1.10", "eventType": "AwsApiCall", "eventCategory": "Management", "managementEvent": true, "readOnly": true,
        "eventID": id, "requestID": format!("request-{id}"), "eventTime": time,
        "eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel", "awsRegion": "us-east-1",
        "sourceIPAddress": "10.0.0.7", "userAgent": "aws-sdk-rust/1.3", "recipientAccountId": ACCOUNT,
        "requestParameters": { "modelId": CLAUDE }, "responseElements": null, "userIdentity": user_identity
    })
}

fn session(key: &str) -> Value {
    json!({
        "type": "AssumedRole", "principalId": format!("AROAEXAMPLE:{key}"), "accountId": ACCOUNT, "accessKeyId": key,
        "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/analyst/{key}"),
        "sessionContext": { "sessionIssuer": {
            "type": "Role", "principalId": "AROAEXAMPLE", "accountId": ACCOUNT, "userName": "analyst",
            "arn": format!("arn:aws:iam::{ACCOUNT}:role/analyst")
        }, "attributes": { "mfaAuthenticated": "false" } }
    })
}

/// A call of a session that IAM refuses.
pub fn refused(id: &str, time: &str, key: &str) -> String {
    let mut event = call(id, time, session(key));
    event["errorCode"] = json!("AccessDenied");
    event["errorMessage"] = json!(format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/analyst/{key} is not authorized to perform: bedrock:InvokeModel on resource: \
         arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE} because no identity-based policy allows the bedrock:InvokeModel action"
    ));
    event.to_string()
}

/// A call of a session that succeeds.
pub fn granted(id: &str, time: &str, key: &str) -> String {
    call(id, time, session(key)).to_string()
}

/// A call of the build's own user, who has no session to be waited for.
pub fn of_user(id: &str, time: &str) -> String {
    let identity = json!({"type": "IAMUser", "arn": USER, "accountId": ACCOUNT, "accessKeyId": USER_KEY, "userName": "build"});
    call(id, time, identity).to_string()
}

/// What STS writes when a person's session begins: with the department.
pub fn sign_in(id: &str, time: &str, key: &str, person: &str, department: &str) -> String {
    json!({
        "eventVersion": "1.08", "eventType": "AwsApiCall", "eventCategory": "Management", "managementEvent": true, "readOnly": true,
        "eventID": id, "eventTime": time, "eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity",
        "awsRegion": "us-east-1", "recipientAccountId": ACCOUNT, "sourceIPAddress": "cognito-identity.amazonaws.com",
        "userAgent": "cognito-identity.amazonaws.com",
        "userIdentity": {"type": "WebIdentityUser", "identityProvider": "cognito-identity.amazonaws.com",
            "userName": format!("us-east-1:{person}")},
        "requestParameters": {"principalTags": {"dept": department}, "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/analyst")},
        "responseElements": {"credentials": {"accessKeyId": key}}
    })
    .to_string()
}

/// What nobody should have written into the stream, with the name of its kind.
pub fn poison(random: &mut fastrand::Rng, number: usize) -> (&'static str, Vec<u8>) {
    let time = "2026-06-01T00:00:00Z";
    let whole = wire::cloudwatch_logs(&[&of_user("poison", time)]);
    match number % 9 {
        0 => ("bytes of chance", (0..random.usize(1..4_000)).map(|_| random.u8(..)).chain([0xff]).collect()),
        1 => ("gzip that is cut off", whole[..whole.len() / 2].to_vec()),
        2 => ("gzip of 40 MB of blanks", wire::gzip(&vec![b' '; 40 << 20])),
        3 => ("100,000 brackets", "[".repeat(100_000).into_bytes()),
        4 => ("JSON that is cut off", wire::eventbridge(&of_user("poison", time)).into_iter().take(300).collect()),
        5 => ("gzip of gzip", wire::gzip(&wire::gzip(b"{}"))),
        6 => ("a string of a megabyte", format!("{{\"eventName\":\"{}", "x".repeat(1_000_000)).into_bytes()),
        7 => ("text that is no UTF-8", b"{\"Records\":[{\"eventName\":\"\xff\xfe\"".to_vec()),
        _ => ("a word", b"hello".to_vec()),
    }
}
