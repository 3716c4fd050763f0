//! Alerts through SNS: what a subscriber of a real server gets, and what becomes of messages when SNS fails.

use std::collections::BTreeMap;
use std::time::Duration;

use geophone::alerting::message::{Form, Links, Message, render};
use geophone::alerting::{Alert, Status};
use geophone::finding::Digest128;
use geophone::sns::{Outgoing, Published, RetryClass, publish};
use geophone_company::wire;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::queue::Queue;
use crate::support::records::{denied, key};
use crate::support::sns::{Act, Call, Closed, Fault, Received, Sns, TOPIC, client};
use crate::support::story;
use crate::support::subscriber::Subscriber;
use crate::support::tools::Server;
use crate::support::wait::DEADLINE;

/// The publishing task, its inbox and its results.
struct Publisher {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    results: mpsc::UnboundedReceiver<(String, Published)>,
}

impl Publisher {
    fn start(client: aws_sdk_sns::Client, topic: &str) -> Self {
        let (outgoing, incoming) = mpsc::unbounded_channel();
        let (told, results) = mpsc::unbounded_channel();
        tokio::spawn(publish(client, topic.to_owned(), incoming, told));
        Self { outgoing, results }
    }

    /// Sends messages, each of an incident of its own, and waits until each is settled. Gives everything that was told.
    async fn settle(&mut self, messages: Vec<Message>) -> Vec<Published> {
        self.settle_of(u64::MAX, messages).await
    }

    /// The same for messages of so many incidents, by turns.
    async fn settle_of(&mut self, incidents: u64, messages: Vec<Message>) -> Vec<Published> {
        let (count, mut settled, mut told) = (messages.len(), 0, Vec::new());
        for (sequence, message) in (0..).zip(messages) {
            self.outgoing.send(outgoing(sequence, incident(sequence % incidents), message)).expect("the task lives");
        }
        while settled < count {
            let next = tokio::time::timeout(DEADLINE, self.results.recv()).await;
            let (_, result) = next.unwrap_or_else(|_| panic!("{settled} of {count} settled: {told:?}")).expect("the task lives");
            settled += usize::from(!matches!(result, Published::Retrying { .. }));
            told.push(result);
        }
        told
    }
}

fn messages(count: usize) -> Vec<Message> {
    let attributes = vec![("severity", "low".to_owned())];
    (0..count).map(|n| Message { subject: format!("subject {n}"), body: format!("message {n}"), attributes: attributes.clone() }).collect()
}

fn bodies(received: &[Received]) -> Vec<String> {
    received.iter().map(|message| message.body.clone()).collect()
}

fn in_order(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("message {n}")).collect()
}

fn retries(told: &[Published]) -> Vec<RetryClass> {
    let class = |result: &Published| match result {
        Published::Retrying { class, .. } => Some(*class),
        Published::Sent { .. } | Published::Refused { .. } => None,
    };
    told.iter().filter_map(class).collect()
}

fn refused(told: &[Published]) -> Vec<u64> {
    let sequence = |result: &Published| match result {
        Published::Refused { sequence, .. } => Some(*sequence),
        Published::Sent { .. } | Published::Retrying { .. } => None,
    };
    told.iter().filter_map(sequence).collect()
}

/// Everything arrives once and in order although the first `bad` calls are refused so; gives the classes that were told.
async fn survives(bad: usize, status: u16, code: &'static str) -> Vec<RetryClass> {
    let sns = Sns::scripted(move |call| if call.nth < bad { Act::Refuse(status, code) } else { Act::Accept });
    let told = Publisher::start(client(&sns.endpoint), TOPIC).settle(messages(25)).await;
    assert_eq!(bodies(&sns.received()), in_order(25));
    assert!(refused(&told).is_empty());
    assert_eq!(sns.calls("PublishBatch"), bad + 3, "batches of ten");
    retries(&told)
}

#[tokio::test]
async fn throttling_is_waited_out() {
    assert_eq!(survives(3, 400, "Throttling").await, [RetryClass::Throttled; 3]);
    assert_eq!(survives(1, 400, "ThrottledException").await, [RetryClass::Throttled; 1]);
}

#[tokio::test]
async fn failures_of_the_service_are_waited_out() {
    assert_eq!(survives(2, 500, "InternalError").await, [RetryClass::Network; 2]);
    assert_eq!(survives(1, 503, "ServiceUnavailable").await, [RetryClass::Network; 1]);
}

/// Ten minutes of throttling and an hour without SNS, in a time that does not have to be waited for: while messages keep
/// coming, nothing is lost, overtaken or sent twice, and the service is not hammered.
async fn outlasts(outage: Duration, status: u16, code: &'static str) -> (usize, Duration) {
    const EVERY: Duration = Duration::from_secs(6);
    let start = tokio::time::Instant::now();
    let sns = Sns::scripted(move |_| if start.elapsed() < outage { Act::Refuse(status, code) } else { Act::Accept });
    let mut publisher = Publisher::start(client(&sns.endpoint), TOPIC);
    let count = (outage.as_secs() / EVERY.as_secs()) as usize;
    for (sequence, message) in (0..).zip(messages(count)) {
        publisher.outgoing.send(outgoing(sequence, incident(sequence % 7), message)).expect("the task lives");
        tokio::time::sleep(EVERY).await;
    }
    let mut settled = Vec::new();
    while settled.len() < count {
        match publisher.results.recv().await.expect("the task lives").1 {
            Published::Sent { sequence, .. } => settled.push(sequence),
            Published::Retrying { retry_in, .. } => assert!(retry_in <= Duration::from_secs(30), "{retry_in:?}"),
            Published::Refused { .. } => panic!("given up"),
        }
    }
    let received = bodies(&sns.received());
    assert_eq!(received.len(), count, "nothing twice");
    for incident in 0..7 {
        let of_incident: Vec<String> = in_order(count).into_iter().skip(incident).step_by(7).collect();
        let heard: Vec<String> = received.iter().filter(|body| of_incident.contains(body)).cloned().collect();
        assert_eq!(heard, of_incident, "incident {incident}");
    }
    (sns.calls("PublishBatch") - count.div_ceil(10), start.elapsed() - outage)
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_throttling_are_outlasted() {
    let (refused, late) = outlasts(Duration::from_secs(600), 400, "Throttling").await;
    assert!((20..200).contains(&refused) && late < Duration::from_secs(60), "{refused} calls, {late:?} after the end");
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_sns_is_outlasted() {
    let (refused, late) = outlasts(Duration::from_secs(3_600), 503, "ServiceUnavailable").await;
    assert!((120..900).contains(&refused) && late < Duration::from_secs(60), "{refused} calls, {late:?} after the end");
}

/// A FIFO topic of a real server: a queue gets each incident in its order, and what is sent again after a crash only once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_topic_keeps_the_order_of_an_incident_and_drops_what_comes_again() {
    let Some(ministack) = Server::ministack().await else { return };
    let sns = client(&format!("http://{}", ministack.address));
    let queue = Queue::create(&ministack.address, "on-call.fifo").await;
    let created = sns.create_topic().name("on-call.fifo").attributes("FifoTopic", "true").send().await.expect("created");
    let topic = created.topic_arn.expect("an ARN");
    let subscribe = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(&queue.arn).attributes("RawMessageDelivery", "true");
    subscribe.send().await.expect("subscribed");
    let told = Publisher::start(sns.clone(), &topic).settle_of(3, messages(24)).await;
    assert!(told.iter().all(|result| matches!(result, Published::Sent { .. })), "{told:?}");
    let again = Publisher::start(sns, &topic).settle_of(3, messages(24)).await;
    assert_eq!(again.len(), 24);
    let heard = queue.receive(24).await;
    assert_eq!(heard.len(), 24, "each once: {heard:?}");
    for incident in 0..3 {
        let of_incident: Vec<String> = in_order(24).into_iter().skip(incident).step_by(3).collect();
        let in_queue: Vec<String> = heard.iter().filter(|body| of_incident.contains(body)).cloned().collect();
        assert_eq!(in_queue, of_incident);
    }
}

/// A lost permission is somebody's to give back, and a clock somebody's to set; no alert is thrown away for it, nor for a
/// code that nobody has heard of.
#[tokio::test]
async fn what_somebody_must_cure_is_tried_again_until_it_is_cured() {
    let mut waiting = JoinSet::new();
    for (status, code, class) in [
        (403, "AuthorizationError", RetryClass::Permission),
        (404, "NotFound", RetryClass::Permission),
        (400, "AccessDeniedException", RetryClass::Permission),
        (403, "InvalidClientTokenId", RetryClass::Permission),
        (403, "UnrecognizedClientException", RetryClass::Permission),
        (400, "IncompleteSignature", RetryClass::Permission),
        (400, "RequestExpired", RetryClass::Permission),
        (403, "OptInRequired", RetryClass::Permission),
        (400, "KMSDisabled", RetryClass::Permission),
        (400, "NeverHeardOfIt", RetryClass::Network),
    ] {
        waiting.spawn(async move { assert_eq!(survives(1, status, code).await, [class], "{code}") });
    }
    while let Some(result) = waiting.join_next().await {
        result.expect("each is delivered");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_until_somebody_listens() {
    let closed = Closed::reserve();
    let mut publisher = Publisher::start(client(&closed.endpoint), TOPIC);
    publisher.outgoing.send(outgoing(99, incident(99), messages(1).remove(0))).expect("the task lives");
    let (topic, first) = publisher.results.recv().await.expect("the task lives");
    assert!(matches!(first, Published::Retrying { class: RetryClass::Network, .. }) && topic == TOPIC, "{first:?}");
    let sns = closed.open(|_| Act::Accept);
    let received = sns.until("the message", |all| !all.is_empty()).await;
    assert_eq!(bodies(&received), in_order(1));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_and_asked_again() {
    let sns = Sns::scripted(|call| if call.nth == 0 { Act::Hang } else { Act::Accept });
    let timeouts = aws_sdk_sns::config::timeout::TimeoutConfig::builder().operation_timeout(Duration::from_millis(300)).build();
    let config = client(&sns.endpoint).config().to_builder().timeout_config(timeouts);
    let told = Publisher::start(aws_sdk_sns::Client::from_conf(config.build()), TOPIC).settle(messages(2)).await;
    assert_eq!(retries(&told), [RetryClass::Network]);
    assert_eq!(bodies(&sns.received()), in_order(2));
}

/// Entries 2 and 5 fail for a while: they go first in the next batch, in their order and before what waits.
#[tokio::test]
async fn a_batch_that_fails_in_part_is_finished_before_the_next_one() {
    let sns = Sns::scripted(|call: &Call<'_>| match call.nth {
        0 => Act::RefuseEntries(vec![(2, "InternalError", Fault::Service), (5, "ThrottlingException", Fault::Sender)]),
        _ => Act::Accept,
    });
    let told = Publisher::start(client(&sns.endpoint), TOPIC).settle(messages(12)).await;
    assert_eq!(retries(&told).len(), 1);
    let mut expected = in_order(12);
    let late = [expected.remove(5), expected.remove(2)];
    expected.splice(8..8, late.into_iter().rev());
    assert_eq!(bodies(&sns.received()), expected);
}

#[tokio::test]
async fn a_message_that_is_refused_for_good_is_told_and_holds_nobody_up() {
    // One entry of a batch that otherwise succeeds.
    let sns = Sns::scripted(|call| {
        let bad = call.messages.iter().position(|message| message.body == "message 4");
        Act::RefuseEntries(bad.map(|place| (place, "InvalidParameter", Fault::Sender)).into_iter().collect())
    });
    let told = Publisher::start(client(&sns.endpoint), TOPIC).settle(messages(15)).await;
    let mut others = in_order(15);
    others.remove(4);
    assert_eq!((refused(&told), bodies(&sns.received())), (vec![4], others.clone()));
    assert!(told.iter().any(|result| matches!(result, Published::Refused { why, .. } if why.contains("InvalidParameter"))), "{told:?}");

    // One entry that spoils the call for all: the others are delivered without it.
    let sns = Sns::scripted(|call| match call.messages.iter().any(|message| message.body == "message 4") {
        true => Act::Refuse(400, "InvalidParameterValue"),
        false => Act::Accept,
    });
    let told = Publisher::start(client(&sns.endpoint), TOPIC).settle(messages(15)).await;
    assert_eq!((refused(&told), bodies(&sns.received())), (vec![4], others));
    assert!(retries(&told).is_empty());
}

/// Opened, updated, resolved: whatever fails, a subscriber hears an incident's story in its order.
#[tokio::test]
async fn messages_of_one_incident_never_overtake_each_other() {
    const INCIDENTS: usize = 4;
    let sns = Sns::scripted(|call| match call.nth {
        // The first entry fails and the rest of the call does not: twice, so that a retried one fails again.
        0 | 1 | 4 => Act::RefuseEntries(vec![(0, "InternalError", Fault::Service)]),
        2 => Act::Refuse(400, "Throttling"),
        _ => Act::Accept,
    });
    let told = Publisher::start(client(&sns.endpoint), TOPIC).settle_of(INCIDENTS as u64, messages(32)).await;
    assert_eq!(retries(&told).len(), 4);
    let received = bodies(&sns.received());
    assert_eq!(received.len(), 32);
    for incident in 0..INCIDENTS {
        let of_incident: Vec<String> = in_order(32).into_iter().skip(incident).step_by(INCIDENTS).collect();
        let heard: Vec<String> = received.iter().filter(|body| of_incident.contains(body)).cloned().collect();
        assert_eq!(heard, of_incident);
    }
}

/// A throttle amid the single tries of a spoilt batch must not let what follows overtake it.
#[tokio::test]
async fn order_is_kept_through_every_fault_at_once() {
    let sns = Sns::scripted(|call| match call.nth {
        0 | 7 => Act::Refuse(400, "Throttling"),
        3 | 11 => Act::Refuse(500, "InternalError"),
        5 => Act::RefuseEntries((0..call.messages.len()).map(|place| (place, "InternalError", Fault::Service)).collect()),
        _ if call.messages.iter().any(|message| message.body == "message 13") => Act::Refuse(400, "InvalidParameter"),
        _ => Act::Accept,
    });
    let told = Publisher::start(client(&sns.endpoint), TOPIC).settle(messages(40)).await;
    let mut others = in_order(40);
    others.remove(13);
    assert_eq!((refused(&told), bodies(&sns.received())), (vec![13], others));
}

/// An alert about a session that was refused often, and the same resolved.
fn alerts() -> [Alert; 2] {
    let events: Vec<String> = (0..12).map(|n| denied(&key("PAGE", 0), n, 1_780_315_200 + n as i64)).collect();
    let texts: Vec<&str> = events.iter().map(String::as_str).collect();
    let told = story::play(&Default::default(), story::observe(&wire::ndjson(&texts)));
    let opened = told.opened().into_iter().next().expect("an alert").clone();
    let resolved = Alert { status: Status::Resolved, ..opened.clone() };
    [opened, resolved]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_of_a_real_server_gets_text_and_chatbot_with_attributes() {
    let Some(ministack) = Server::ministack().await else { return };
    let sns = client(&format!("http://{}", ministack.address));
    let alerts = alerts();
    for form in [Form::Text, Form::Chatbot] {
        let subscriber = Subscriber::start().await;
        let created = sns.create_topic().name(format!("on-call-{form:?}")).send().await.expect("created");
        let topic = created.topic_arn.expect("an ARN");
        subscriber.subscribe(&sns, &topic, &ministack.address).await;
        let rendered: Vec<Message> = alerts.iter().map(|alert| render(alert, form, &Links::default())).collect();
        let told = Publisher::start(sns.clone(), &topic).settle(rendered.clone()).await;
        assert!(told.iter().all(|result| matches!(result, Published::Sent { .. })), "{told:?}");

        let notifications = subscriber.notifications(rendered.len()).await;
        // MiniStack hands a batch to its subscribers in no order of its own promise.
        let by_body: BTreeMap<&str, &Value> =
            notifications.iter().map(|notification| (notification["Message"].as_str().expect("a text"), notification)).collect();
        for message in &rendered {
            let notification = by_body.get(message.body.as_str()).unwrap_or_else(|| panic!("not delivered: {}", message.body));
            assert_eq!((&notification["TopicArn"], &notification["Subject"]), (&topic.as_str().into(), &message.subject.as_str().into()));
            for (name, value) in &message.attributes {
                assert_eq!(notification["MessageAttributes"][name]["Value"], **value, "{name}");
            }
        }
        check_form(form, &notifications, &alerts[0]);
    }
}

fn check_form(form: Form, notifications: &[Value], alert: &Alert) {
    let bodies: Vec<&str> = notifications.iter().filter_map(|notification| notification["Message"].as_str()).collect();
    assert!(bodies.iter().all(|body| body.contains(&alert.alert_id.to_string())));
    match form {
        Form::Chatbot => {
            for body in bodies {
                let notification: Value = serde_json::from_str(body).expect("JSON");
                assert_eq!((&notification["version"], &notification["source"]), (&"1.0".into(), &"custom".into()));
                assert_eq!(notification["metadata"]["threadId"], alert.incident_id.to_string());
            }
        }
        Form::Text | Form::Ndjson | Form::Ocsf => {
            assert!(bodies.iter().all(|body| body.contains("Access key") && body.contains("ASIAPAGE0000")));
        }
    }
}

/// A topic that is not there: MiniStack says so as SNS does, and the alert waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_late_gets_what_waited_for_it() {
    let Some(ministack) = Server::ministack().await else { return };
    let sns = client(&format!("http://{}", ministack.address));
    let subscriber = Subscriber::start().await;
    // MiniStack's account.
    let topic = "arn:aws:sns:us-east-1:000000000000:late";
    let mut publisher = Publisher::start(sns.clone(), topic);
    publisher.outgoing.send(outgoing(0, incident(0), messages(1).remove(0))).expect("the task lives");
    let (_, first) = publisher.results.recv().await.expect("the task lives");
    assert!(matches!(first, Published::Retrying { class: RetryClass::Permission, .. }), "{first:?}");
    let created = sns.create_topic().name("late").send().await.expect("created");
    assert_eq!(created.topic_arn(), Some(topic));
    subscriber.subscribe(&sns, topic, &ministack.address).await;
    // A try may have come between making and subscribing; the second message certainly comes after.
    publisher.outgoing.send(outgoing(1, incident(1), messages(2).remove(1))).expect("the task lives");
    let notifications = subscriber.until("message 1").await;
    assert!(notifications.iter().all(|notification| notification["TopicArn"] == topic));
}

fn outgoing(sequence: u64, incident: Digest128, message: Message) -> Outgoing {
    Outgoing { sequence, incident, key: Digest128::of(&[b"key", &sequence.to_le_bytes()]), message }
}

/// An incident of its own for every message.
fn incident(sequence: u64) -> Digest128 {
    Digest128::of(&[&sequence.to_le_bytes()])
}
