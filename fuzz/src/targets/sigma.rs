//! Rules as others write them.

use geophone::cloudtrail::{CloudTrailEvent, Decoder, Limits};
use geophone::sigma::{Raw, RuleFacts, RuleSet, SigmaEvent, Source, UnknownFields, load};

/// Records that rules are asked about: a plain call, a refused one with odd types, something of another service.
const RECORDS: [&str; 4] = [
    r#"{"eventVersion":"1.10","eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","awsRegion":"us-east-1","userAgent":"curl/8.0","requestParameters":{"modelId":"anthropic.claude-v2"},"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/r/s","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/r","userName":"r"}}}}"#,
    r#"{"eventVersion":"1.10","eventSource":"bedrock.amazonaws.com","eventName":"Converse","errorCode":"AccessDenied","errorMessage":"no\nAB *","requestParameters":[{"modelId":"a"},{"modelId":["b",null,1,true]}],"userIdentity":{"type":"IAMUser","arn":"","accessKeyId":"AKIAEXAMPLE"},"sourceIPAddress":"10.0.0.1","resources":[{"ARN":"x"},{"ARN":"y","accountId":1}]}"#,
    r#"{"detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","requestParameters":{"roleArn":"arn:aws:iam::1:role/x","tags":[{"key":"dept","value":"legal"}],"durationSeconds":3600},"userIdentity":{"type":"AWSService","invokedBy":"lambda.amazonaws.com"},"tlsDetails":{"tlsVersion":"TLSv1.3"}}}"#,
    r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","eventTime":"2026-06-01T09:00:00Z","readOnly":false,"requestParameters":null,"responseElements":{"accessKey":{"userName":"ben","createDate":"x","deep":{"er":[{"est":1.5}]}}}}"#,
];

/// A file of rules: mistakes that each have a line of the file and a cure, or a set that says about every record what a plain
/// scan of all rules says.
pub fn sigma(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    for unknown in [UnknownFields::Refuse, UnknownFields::Accept] {
        let source = Source { file: "rules.yml".to_owned(), text: text.clone() };
        match load(&[source], unknown) {
            Ok(set) => ask(&set),
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                for mistake in &mistakes {
                    assert!((1..=lines).contains(&mistake.line), "{mistake} of {lines} lines");
                    assert!(!mistake.what.is_empty() && !mistake.cure.is_empty() && !mistake.what.contains('\n'), "{mistake:?}");
                }
            }
        }
    }
}

fn ask(set: &RuleSet) {
    for record in RECORDS {
        Decoder::new(Limits { keep_text: true, ..Limits::default() }).decode(record.as_bytes(), &mut |item| {
            let decoded = item.expect("an event");
            ask_about(set, &decoded.event, decoded.text);
        });
    }
}

fn ask_about(set: &RuleSet, event: &CloudTrailEvent<'_>, text: Option<&str>) {
    let facts = RuleFacts { department: "legal".to_owned(), person: "ada".to_owned(), ..RuleFacts::default() };
    let event = SigmaEvent::new(event, Raw(text));
    let found = set.matches(&event);
    for open in &found {
        let _ = set.holds(open, &facts);
    }
    let mut certain: Vec<_> = found.into_iter().filter(|found| !found.is_open).map(|found| found.rule).collect();
    let mut plain = set.matches_by_full_scan(event.whole());
    plain.retain(|id| set.single(id).is_some_and(|(_, single)| !single.asks_own));
    certain.sort_unstable();
    plain.sort_unstable();
    assert_eq!(certain, plain);
}
