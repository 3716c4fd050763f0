//! Calls, grants and removals as records, for stories about who may what.

use std::sync::Arc;

use geophone::alerting::Alert;
use geophone::engine::EngineSettings;
use geophone::finding::DetectorId;
use geophone::identity::Directory;
use geophone::observation::Observation;
use geophone::policy::{Attached, BookSettings, Decision, Document, PolicyBook, ProfileTable, Roles};
use geophone::time::EventTime;
use serde_json::{Value, json};

use super::story::{self, Told};

pub const START: i64 = 1_780_390_800;
pub const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
pub const NOVA: &str = "amazon.nova-pro-v1:0";
pub const LLAMA: &str = "meta.llama3-3-70b-instruct-v1:0";

pub fn time(seconds: i64) -> String {
    EventTime::from_unix(START + seconds).to_string()
}

/// Legal has Claude through profiles too, marketing has Nova, both share Llama, and knowledge bases go by clearance.
pub fn policy() -> Value {
    let models = |patterns: &[&str]| -> Vec<String> {
        let of = |pattern: &&str| {
            vec![format!("arn:aws:bedrock:*::foundation-model/{pattern}"), format!("arn:aws:bedrock:*:*:inference-profile/*.{pattern}")]
        };
        patterns.iter().flat_map(of).collect()
    };
    let statement = |sid: &str, department: Value, resources: Vec<String>| {
        json!({"Sid": sid, "Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": resources,
            "Condition": {"StringEquals": {"aws:PrincipalTag/dept": department}}})
    };
    json!({"Version": "2012-10-17", "Statement": [
        statement("Legal", json!("legal"), models(&["anthropic.claude-*"])),
        statement("Marketing", json!("marketing"), models(&["amazon.nova-*"])),
        statement("Shared", json!(["legal", "marketing"]), models(&["meta.llama3-*"])),
        {"Sid": "Cases", "Effect": "Allow", "Action": "bedrock:Retrieve", "Resource": "arn:aws:bedrock:us-east-1:111122223333:knowledge-base/CASES",
            "Condition": {"StringEquals": {"aws:PrincipalTag/clearance": "high"}}},
        {"Sid": "NoTitan", "Effect": "Deny", "Action": "bedrock:*", "Resource": "arn:aws:bedrock:*::foundation-model/amazon.titan-*"},
        {"Sid": "Lists", "Effect": "Allow", "Action": "bedrock:List*", "Resource": "*"},
    ]})
}

pub fn book(policy: &Value) -> Arc<PolicyBook> {
    let document = Document::parse("perimeter.json", &policy.to_string()).expect("a document");
    assert!(document.notices.is_empty(), "{:?}", document.notices);
    let attached = Attached { identity: vec![(Roles::Like("App*".to_owned()), document.into())], ..Attached::default() };
    Arc::new(PolicyBook::new(BookSettings { attached, profiles: ProfileTable::shipped(), ..BookSettings::default() }))
}

pub fn settings() -> EngineSettings {
    let directory =
        "person,user_pool_sub,cognito_identity_id,department,manager\nbob@example.com,sub-bob,us-east-1:bob,marketing,eve@example.com\n";
    EngineSettings {
        policy: book(&policy()),
        directory: Arc::new(Directory::parse(directory).expect("a directory")),
        keep_calls: true,
        dedup_capacity: 1 << 12,
        ..EngineSettings::default()
    }
}

pub fn call(id: &str, at: i64, key: &str, name: &str, model: &str) -> Value {
    json!({"eventVersion": "1.11", "eventSource": "bedrock.amazonaws.com", "eventName": name, "eventID": id, "requestID": format!("r-{id}"),
        "eventTime": time(at), "awsRegion": "us-east-1", "eventType": "AwsApiCall", "requestParameters": {"modelId": model},
        "recipientAccountId": "111122223333", "sourceIPAddress": "192.0.2.10", "userAgent": "Boto3/1.34 os/linux",
        "tlsDetails": {"tlsVersion": "TLSv1.3"},
        "userIdentity": {"type": "AssumedRole", "accessKeyId": key, "accountId": "111122223333",
            "arn": "arn:aws:sts::111122223333:assumed-role/AppUser/CognitoIdentityCredentials",
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/AppUser"}}}})
}

pub fn refused(mut call: Value, reason: &str) -> Value {
    call["errorCode"] = json!("AccessDenied");
    call["errorMessage"] = json!(format!("User: x is not authorized to perform: bedrock:InvokeModel on resource: y {reason}"));
    call
}

pub fn sts(id: &str, at: i64, key: &str, tags: Value) -> Value {
    json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity", "eventID": id, "eventTime": time(at),
        "userIdentity": {"type": "WebIdentityUser", "identityProvider": "cognito-identity.amazonaws.com", "userName": "us-east-1:bob"},
        "requestParameters": {"principalTags": tags, "roleArn": "arn:aws:iam::111122223333:role/AppUser"},
        "responseElements": {"credentials": {"accessKeyId": key}}})
}

pub fn observed(events: &[Value]) -> Vec<Observation> {
    events.iter().flat_map(|event| story::observe(event.to_string().as_bytes())).collect()
}

pub fn play(settings: &EngineSettings, events: &[Value]) -> Told {
    story::play(settings, observed(events))
}

/// Opened alerts of a detector.
pub fn of(told: &Told, detector: DetectorId) -> Vec<Alert> {
    told.opened().into_iter().filter(|alert| alert.detector == detector).cloned().collect()
}

pub fn decision(told: &Told) -> Vec<Decision> {
    told.counts.verdicts.iter().flat_map(|(decision, count)| vec![*decision; *count as usize]).collect()
}

pub fn removal(id: &str, at: i64, name: &str) -> Value {
    json!({"eventSource": "cognito-idp.amazonaws.com", "eventName": name, "eventID": id, "eventTime": time(at), "recipientAccountId": "111122223333",
        "requestParameters": {"userPoolId": "p", "username": "HIDDEN_DUE_TO_SECURITY_REASONS"}, "additionalEventData": {"sub": "sub-bob"}})
}

/// All orders of a few things.
pub fn orders(events: &[Value]) -> Vec<Vec<Value>> {
    if events.len() <= 1 {
        return vec![events.to_vec()];
    }
    let with_first = |first: usize| {
        let mut rest = events.to_vec();
        let chosen = rest.remove(first);
        orders(&rest).into_iter().map(move |order| [vec![chosen.clone()], order].concat())
    };
    (0..events.len()).flat_map(with_first).collect()
}

pub fn from(mut call: Value, address: &str, agent: &str, endpoint: Option<&str>) -> Value {
    call["sourceIPAddress"] = json!(address);
    call["userAgent"] = json!(agent);
    if let Some(id) = endpoint {
        call["vpcEndpointId"] = json!(id);
    }
    call
}
