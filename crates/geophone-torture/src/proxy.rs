//! The fault proxy: stands between the program and one server, and does to calls what networks and services do.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::http::{Request, answer, forward, read_request};

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Answered after up to two seconds.
    Delay,
    /// The connection is torn down before anything is done.
    Reset,
    /// Nothing is ever answered.
    BlackHole,
    /// Done, and the answer is lost.
    LostReply,
    /// The service has an error of its own, done or not.
    Internal,
    /// Too many calls.
    Throttled,
    /// The answer is cut off in its middle.
    Truncated,
    /// The shard iterator is too old.
    ExpiredIterator,
    /// The credentials are over.
    ExpiredToken,
    /// A write is done seconds later, when whoever sent it has given it up.
    Late,
}

impl Fault {
    /// As reports call it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delay => "delayed calls",
            Self::Reset => "connections reset",
            Self::BlackHole => "calls never answered",
            Self::LostReply => "replies lost after the call was done",
            Self::Internal => "HTTP 500",
            Self::Throttled => "throttled calls",
            Self::Truncated => "answers cut off",
            Self::ExpiredIterator => "expired iterators",
            Self::ExpiredToken => "expired credentials",
            Self::Late => "writes that were done seconds later",
        }
    }
}

/// Which service stands behind: errors have a form of their own in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Kinesis,
    Sns,
    DynamoDb,
}

/// What is to go wrong from now on.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// So many calls of a thousand.
    pub per_mille: u32,
    /// In one of these ways.
    pub faults: Vec<Fault>,
}

impl Weather {
    pub fn of(per_mille: u32, faults: &[Fault]) -> Self {
        Self { per_mille, faults: faults.to_vec() }
    }
}

/// Calls that the program makes before it works: whoever starts it starts it again when they fail, and that is not what is
/// tried here.
const LEFT_ALONE: [&str; 2] = ["DescribeStreamSummary", "GetTopicAttributes"];

/// How late a late write is: before and after the end of a lease of three seconds.
const LATE_MIN: Duration = Duration::from_millis(500);
const LATE_MORE: Duration = Duration::from_secs(6);

struct Shared {
    upstream: String,
    service: Service,
    weather: Mutex<(Weather, fastrand::Rng)>,
    counts: Mutex<BTreeMap<Fault, u64>>,
    /// Children of resharding are read from their newest record: what a consumer without the guard does.
    children_at_latest: Mutex<Option<u32>>,
    /// Checkpoints are written whoever holds the lease.
    is_unfenced: AtomicBool,
    /// The last checkpoint of each lease, as it was sent.
    checkpoints: Mutex<BTreeMap<String, Request>>,
}

/// See the module.
pub struct Proxy {
    pub endpoint: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// A proxy in front of `upstream` (`127.0.0.1:PORT`), through which everything passes at first.
    pub async fn start(service: Service, upstream: &str, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port of loopback");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let weather = Mutex::new((Weather::default(), fastrand::Rng::with_seed(seed)));
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            service,
            weather,
            counts: Mutex::default(),
            children_at_latest: Mutex::new(None),
            is_unfenced: AtomicBool::new(false),
            checkpoints: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let serve = async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                tokio::spawn(serve(socket, Arc::clone(&serving)));
            }
        };
        Self { endpoint, shared, task: tokio::spawn(serve).abort_handle() }
    }

    /// From now on.
    pub fn weather(&self, weather: Weather) {
        self.shared.weather.lock().expect("no panics").0 = weather;
    }

    /// Everything passes.
    pub fn calm(&self) {
        self.weather(Weather::default());
    }

    /// Turns TRIM_HORIZON into LATEST for shards that are numbered `first` or higher.
    pub fn read_children_at_latest(&self, first: u32) {
        *self.shared.children_at_latest.lock().expect("no panics") = Some(first);
    }

    /// Takes the condition away under which checkpoints are written.
    pub fn unfence(&self) {
        self.shared.is_unfenced.store(true, Ordering::Relaxed);
    }

    /// The last checkpoint of each lease, as it was sent.
    pub fn checkpoints(&self) -> Vec<Request> {
        self.shared.checkpoints.lock().expect("no panics").values().cloned().collect()
    }

    /// Has requests done that were sent some time ago; returns how many of them were done.
    pub async fn deliver_late(&self, requests: &[Request]) -> u64 {
        let mut done = 0;
        for request in requests {
            let answer = forward(&self.shared.upstream, request, &self.shared.body(request)).await.unwrap_or_default();
            done += u64::from(answer.starts_with(b"HTTP/1.1 200"));
        }
        done
    }

    /// What was done, by kind.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.shared.counts.lock().expect("no panics").clone()
    }
}

impl Shared {
    /// What happens to this call, and a number for how much of it.
    fn draw(&self, request: &Request) -> Option<(Fault, f64)> {
        let operation = request.operation();
        if LEFT_ALONE.contains(&operation.as_str()) {
            return None;
        }
        let (fault, chance) = {
            let mut guard = self.weather.lock().expect("no panics");
            let (weather, random) = &mut *guard;
            if weather.faults.is_empty() || random.u32(..1_000) >= weather.per_mille {
                return None;
            }
            let fault = weather.faults[random.usize(..weather.faults.len())];
            (fault, random.f64())
        };
        let fits = match fault {
            Fault::ExpiredIterator => operation == "GetRecords",
            Fault::Late => operation == "UpdateItem",
            _ => true,
        };
        if fits {
            *self.counts.lock().expect("no panics").entry(fault).or_default() += 1;
        }
        fits.then_some((fault, chance))
    }

    fn error(&self, fault: Fault) -> Vec<u8> {
        let (status, kinesis, sns) = match fault {
            Fault::Throttled => (400, "ProvisionedThroughputExceededException", "Throttling"),
            Fault::ExpiredIterator => (400, "ExpiredIteratorException", "InvalidParameter"),
            Fault::ExpiredToken => (400, "ExpiredTokenException", "ExpiredToken"),
            Fault::Delay | Fault::Reset | Fault::BlackHole | Fault::LostReply | Fault::Internal | Fault::Truncated | Fault::Late => {
                (500, "InternalFailure", "InternalError")
            }
        };
        match self.service {
            Service::Kinesis => {
                answer(status, "application/x-amz-json-1.1", &format!("{{\"__type\":\"{kinesis}\",\"message\":\"injected\"}}"))
            }
            Service::DynamoDb => {
                let name = if status == 500 { "InternalServerError" } else { kinesis };
                let body = format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{name}\",\"message\":\"injected\"}}");
                answer(status, "application/x-amz-json-1.0", &body)
            }
            Service::Sns => answer(
                if fault == Fault::ExpiredToken { 403 } else { status },
                "text/xml",
                &format!(
                    "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{sns}</Code>\
                     <Message>injected</Message></Error><RequestId>torture</RequestId></ErrorResponse>"
                ),
            ),
        }
    }

    /// The request's body, changed where a guard is taken away.
    fn body(&self, request: &Request) -> Vec<u8> {
        if self.service == Service::DynamoDb {
            return self.write(request);
        }
        let first = *self.children_at_latest.lock().expect("no panics");
        let Some(first) = first.filter(|_| request.operation() == "GetShardIterator") else { return request.body.clone() };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let number = text.split_once("shardId-").and_then(|(_, rest)| rest.get(..12)?.parse::<u32>().ok());
        if number.is_some_and(|number| number >= first) { text.replace("TRIM_HORIZON", "LATEST").into_bytes() } else { text.into_bytes() }
    }
}

impl Shared {
    /// A write to the lease table: checkpoints are noted, and lose their condition where that guard is taken away.
    fn write(&self, request: &Request) -> Vec<u8> {
        let Some(mut body) = Some(request).filter(|request| request.operation() == "UpdateItem").and_then(Request::json) else {
            return request.body.clone();
        };
        let is_checkpoint = body["UpdateExpression"].as_str().is_some_and(|text| text.contains(" checkpoint = "));
        if !is_checkpoint {
            return request.body.clone();
        }
        let lease = body["Key"]["leaseKey"]["S"].as_str().unwrap_or_default().to_owned();
        self.checkpoints.lock().expect("no panics").insert(lease, request.clone());
        if !self.is_unfenced.load(Ordering::Relaxed) {
            return request.body.clone();
        }
        // What only the condition uses must go with it.
        let update = body["UpdateExpression"].as_str().unwrap_or_default().to_owned();
        let names: Vec<&str> = update.split([' ', ',']).filter(|word| word.starts_with(':')).collect();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("ConditionExpression");
            if let Some(values) = fields.get_mut("ExpressionAttributeValues").and_then(Value::as_object_mut) {
                values.retain(|name, _| names.contains(&name.as_str()));
            }
        }
        body.to_string().into_bytes()
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    let Some(request) = read_request(&mut socket).await else { return };
    let drawn = shared.draw(&request);
    let body = shared.body(&request);
    match drawn {
        Some((Fault::Reset, _)) => return,
        Some((Fault::BlackHole, _)) => {
            // As long as the other side has patience.
            let _ = read_request(&mut socket).await;
            return;
        }
        Some((fault @ (Fault::Throttled | Fault::ExpiredIterator | Fault::ExpiredToken), _)) => {
            let _ = socket.write_all(&shared.error(fault)).await;
            return;
        }
        // A service that fails may have done it all the same.
        Some((Fault::Internal, chance)) => {
            if chance < 0.5 {
                let _ = forward(&shared.upstream, &request, &body).await;
            }
            let _ = socket.write_all(&shared.error(Fault::Internal)).await;
            return;
        }
        Some((Fault::Late, chance)) => {
            tokio::spawn(async move {
                tokio::time::sleep(LATE_MIN + LATE_MORE.mul_f64(chance)).await;
                forward(&shared.upstream, &request, &body).await
            });
            return;
        }
        Some((Fault::Delay, chance)) => tokio::time::sleep(Duration::from_secs_f64(chance * 2.0)).await,
        Some((Fault::LostReply | Fault::Truncated, _)) | None => {}
    }
    let Ok(mut answer) = forward(&shared.upstream, &request, &body).await else { return };
    match drawn {
        Some((Fault::LostReply, _)) => return,
        Some((Fault::Truncated, chance)) => {
            answer.truncate((answer.len() as f64 * chance) as usize);
        }
        Some(_) | None => {}
    }
    let _ = socket.write_all(&answer).await;
}
