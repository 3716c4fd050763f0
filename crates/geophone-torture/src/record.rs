//! CloudTrail records with a known meaning: calls that are refused, calls that are fine, calls of another department's
//! model, and the records of STS that say whose a session is.

use geophone_company::wire;
use serde_json::{Value, json};

const CLAUDE: &str = "anthropic.claude-3-sonnet-20240229-v1:0";
const ACCOUNT: &str = "111122223333";
/// The role of everybody, where the stream is not partitioned by roles.
pub const ROLE: &str = "analyst";
/// The user of the build.
pub const USER: &str = "build";

fn call(id: &str, time: &str, user_identity: Value) -> Value {
    json!({
        "eventVersion": "1.10", "eventType": "AwsApiCall", "eventCategory": "Management", "managementEvent": true, "readOnly": true,
        "eventID": id, "requestID": format!("request-{id}"), "eventTime": time,
        "eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel", "awsRegion": "us-east-1",
        "sourceIPAddress": "10.0.0.7", "userAgent": "aws-sdk-rust/1.3", "recipientAccountId": ACCOUNT,
        "requestParameters": { "modelId": CLAUDE }, "responseElements": null, "userIdentity": user_identity
    })
}

/// A role's ARN.
pub fn role_arn(role: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{role}")
}

/// A user's ARN.
pub fn user_arn(user: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{user}")
}

/// The access key of a user.
pub fn user_key(user: &str) -> String {
    format!("AKIA{}", user.to_uppercase())
}

fn session(key: &str, role: &str) -> Value {
    json!({
        "type": "AssumedRole", "principalId": format!("AROAEXAMPLE:{key}"), "accountId": ACCOUNT, "accessKeyId": key,
        "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{key}"),
        "sessionContext": { "sessionIssuer": {
            "type": "Role", "principalId": "AROAEXAMPLE", "accountId": ACCOUNT, "userName": role, "arn": role_arn(role)
        }, "attributes": { "mfaAuthenticated": "false" } }
    })
}

/// A call of a session that IAM refuses.
pub fn refused(id: &str, time: &str, key: &str, role: &str) -> String {
    let mut event = call(id, time, session(key, role));
    event["errorCode"] = json!("AccessDenied");
    event["errorMessage"] = json!(format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{key} is not authorized to perform: bedrock:InvokeModel on resource: \
         arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE} because no identity-based policy allows the bedrock:InvokeModel action"
    ));
    event.to_string()
}

/// A call of a session that succeeds.
pub fn granted(id: &str, time: &str, key: &str, role: &str) -> String {
    call(id, time, session(key, role)).to_string()
}

/// A call of a user, who has no session to be waited for.
pub fn of_user(id: &str, time: &str, user: &str) -> String {
    let identity = json!({"type": "IAMUser", "arn": user_arn(user), "accountId": ACCOUNT, "accessKeyId": user_key(user), "userName": user});
    call(id, time, identity).to_string()
}

/// What STS writes when a person's session begins: with the department.
pub fn sign_in(id: &str, time: &str, key: &str, role: &str, person: &str, department: &str) -> String {
    json!({
        "eventVersion": "1.08", "eventType": "AwsApiCall", "eventCategory": "Management", "managementEvent": true, "readOnly": true,
        "eventID": id, "eventTime": time, "eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity",
        "awsRegion": "us-east-1", "recipientAccountId": ACCOUNT, "sourceIPAddress": "cognito-identity.amazonaws.com",
        "userAgent": "cognito-identity.amazonaws.com",
        "userIdentity": {"type": "WebIdentityUser", "identityProvider": "cognito-identity.amazonaws.com",
            "userName": format!("us-east-1:{person}")},
        "requestParameters": {"principalTags": {"dept": department}, "roleArn": role_arn(role)},
        "responseElements": {"credentials": {"accessKeyId": key}}
    })
    .to_string()
}

/// What nobody should have written into the stream, with the name of its kind.
pub fn poison(random: &mut fastrand::Rng, number: usize) -> (&'static str, Vec<u8>) {
    let time = "2026-06-01T00:00:00Z";
    let whole = wire::cloudwatch_logs(&[&of_user("poison", time, USER)]);
    match number % 9 {
        0 => ("bytes of chance", (0..random.usize(1..4_000)).map(|_| random.u8(..)).chain([0xff]).collect()),
        1 => ("gzip that is cut off", whole[..whole.len() / 2].to_vec()),
        2 => ("gzip of 40 MB of blanks", wire::gzip(&vec![b' '; 40 << 20])),
        3 => ("100,000 brackets", "[".repeat(100_000).into_bytes()),
        4 => ("JSON that is cut off", wire::eventbridge(&of_user("poison", time, USER)).into_iter().take(300).collect()),
        5 => ("gzip of gzip", wire::gzip(&wire::gzip(b"{}"))),
        6 => ("a string of a megabyte", format!("{{\"eventName\":\"{}", "x".repeat(1_000_000)).into_bytes()),
        7 => ("text that is no UTF-8", b"{\"Records\":[{\"eventName\":\"\xff\xfe\"".to_vec()),
        _ => ("a word", b"hello".to_vec()),
    }
}
