//! The fault proxy: stands between the program and one server, and does to calls what networks and services do.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
        }
    }
}

/// Which service stands behind: errors have a form of their own in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Kinesis,
    Sns,
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

struct Shared {
    upstream: String,
    service: Service,
    weather: Mutex<(Weather, fastrand::Rng)>,
    counts: Mutex<BTreeMap<Fault, u64>>,
    /// Children of resharding are read from their newest record: what a consumer without the guard does.
    children_at_latest: Mutex<Option<u32>>,
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
        let fits = fault != Fault::ExpiredIterator || operation == "GetRecords";
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
            Fault::Delay | Fault::Reset | Fault::BlackHole | Fault::LostReply | Fault::Internal | Fault::Truncated => {
                (500, "InternalFailure", "InternalError")
            }
        };
        match self.service {
            Service::Kinesis => {
                answer(status, "application/x-amz-json-1.1", &format!("{{\"__type\":\"{kinesis}\",\"message\":\"injected\"}}"))
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
        let first = *self.children_at_latest.lock().expect("no panics");
        let Some(first) = first.filter(|_| request.operation() == "GetShardIterator") else { return request.body.clone() };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let number = text.split_once("shardId-").and_then(|(_, rest)| rest.get(..12)?.parse::<u32>().ok());
        if number.is_some_and(|number| number >= first) { text.replace("TRIM_HORIZON", "LATEST").into_bytes() } else { text.into_bytes() }
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
