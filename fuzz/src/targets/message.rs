//! What a caller writes, as long as it may be, in every form of a message.

use geophone::alerting::message::{render, render_page};
use geophone::alerting::{Page, Paging, PagingSettings};
use geophone::engine::{Engine, Report};
use geophone::time::{EventTime, Now};
use serde_json::{Value, json};

use super::watch::{FORMS, check, links, observe, settings};

/// Fields that a caller chooses, or that a record may hold whatever it likes in.
const FIELDS: [&str; 14] = [
    "/userIdentity/arn",
    "/userIdentity/principalId",
    "/userIdentity/accessKeyId",
    "/userIdentity/sessionContext/sessionIssuer/arn",
    "/userIdentity/sessionContext/sessionIssuer/userName",
    "/userAgent",
    "/requestParameters/modelId",
    "/errorMessage",
    "/sourceIPAddress",
    "/awsRegion",
    "/recipientAccountId",
    "/vpcEndpointId",
    "/eventID",
    "/errorCode",
];

/// Texts between bytes of 0xff, one a field, each as often as the first byte says; of several calls one story is made. Every
/// message of it, and of a digest over it, is one that SNS takes.
pub fn message(bytes: &[u8]) {
    let Some((times, rest)) = bytes.split_first() else { return };
    let mut engine = Engine::new(settings());
    let input = engine.input("fuzz");
    let mut report = Report::default();
    for number in 0..6 {
        let record = record(number, *times, rest);
        for observation in observe(record.as_bytes()) {
            let now = Now(observation.time);
            engine.handle(input, observation, now, &mut report);
        }
    }
    engine.finish(&mut report);
    let (mut paging, mut pages, start) = (Paging::new(PagingSettings { hourly: 1 }), Vec::new(), EventTime::from_unix(0));
    for alert in &report.alerts {
        FORMS.iter().for_each(|form| check(*form, &render(alert, *form, &links())));
    }
    paging.take_all(report.alerts, start, &mut pages);
    paging.handle_time(start.plus(7_200), &mut pages);
    for page in pages.iter().filter(|page| matches!(page, Page::Digest(_))) {
        // Programs are sent the alerts themselves.
        FORMS.iter().filter(|form| form.wakes_people()).for_each(|form| check(*form, &render_page(page, *form, &links())));
    }
}

fn record(number: u64, times: u8, fields: &[u8]) -> String {
    const FIELD_BYTES_MAX: usize = 70_000;
    let mut record = json!({
        "eventVersion": "1.10", "eventType": "AwsApiCall", "eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel",
        "eventID": "e", "awsRegion": "us-east-1", "sourceIPAddress": "10.0.0.7", "userAgent": "aws-cli", "errorCode": "AccessDenied",
        "recipientAccountId": "111122223333", "vpcEndpointId": "vpce-1", "errorMessage": "", "requestParameters": {"modelId": "m"},
        "userIdentity": {
            "type": "AssumedRole", "arn": "", "principalId": "", "accessKeyId": "ASIAEXAMPLE", "accountId": "111122223333",
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "", "userName": ""}},
        },
    });
    record["eventTime"] = json!(EventTime::from_unix(1_780_300_000 + number as i64 * 60).to_string());
    for (path, bytes) in FIELDS.iter().zip(fields.split(|byte| *byte == 0xff)) {
        let text = String::from_utf8_lossy(bytes);
        let times = usize::from(times).min(FIELD_BYTES_MAX / text.len().max(1));
        if let Some(field) = record.pointer_mut(path).filter(|_| !text.is_empty()) {
            *field = Value::String(text.repeat(times.max(1)));
        }
    }
    // Each is an event of its own, of one of two sessions.
    record["eventID"] = json!(format!("{number}{}", record["eventID"].as_str().unwrap_or_default()));
    record["userIdentity"]["accessKeyId"] =
        json!(format!("{}{}", record["userIdentity"]["accessKeyId"].as_str().unwrap_or_default(), number / 3));
    record.to_string()
}
