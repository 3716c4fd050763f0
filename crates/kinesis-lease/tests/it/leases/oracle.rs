//! A real KCL 2.5.8 beside this crate's worker, over one lease table: see `oracle/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kinesis_lease::leasing::{
    DynamoTable, LeaseRow, LeaseTable, LeasedConsumer, LeasedConsumerHandle, LeasedDelivery, PlanSettings, WorkerSettings,
};
use kinesis_lease::{Checkpoint, Delivery};
use tokio::sync::mpsc::Receiver;

use crate::support::dynamo::Dynamo;
use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::{fast, quick};

/// KCL needs most of a minute until it reads.
const PATIENCE: Duration = Duration::from_secs(180);
const FAILOVER: Duration = Duration::from_secs(3);

/// A running daemon, killed without notice when it is dropped. Its children end with its pipes.
struct Kcl(Child);

impl Drop for Kcl {
    fn drop(&mut self) {
        self.0.kill().expect("our own child can be killed");
        self.0.wait().expect("our own child can be waited for");
    }
}

struct Scene {
    jars: PathBuf,
    folder: tempfile::TempDir,
    kinesis: Server,
    dynamo: Dynamo,
    table: DynamoTable,
    table_name: String,
    stream: Stream,
    ours: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn start_kcl(&self, name: &str) -> Kcl {
        let child = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/child.py");
        let properties = self.folder.path().join(name);
        let text = format!(
            "executableName = python3 {} {}\nstreamName = {}\napplicationName = {}\nworkerIdentifier = {name}\n\
             AWSCredentialsProvider = EnvironmentVariableCredentialsProvider\nregionName = us-east-1\n\
             initialPositionInStream = TRIM_HORIZON\nkinesisEndpoint = {}\ndynamoDBEndpoint = {}\nmetricsLevel = NONE\n\
             failoverTimeMillis = {}\nidleTimeBetweenReadsInMillis = 250\nparentShardPollIntervalMillis = 500\n\
             retrievalMode = POLLING\n",
            child.display(),
            self.ledger().display(),
            self.stream.name,
            self.table_name,
            self.kinesis.endpoint,
            self.dynamo.endpoint,
            FAILOVER.as_millis(),
        );
        std::fs::write(&properties, text).unwrap();
        let log = std::fs::File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-Daws.cborEnabled=false", "-cp"]).arg(self.jars.join("*"));
        command.arg("software.amazon.kinesis.multilang.MultiLangDaemon").arg("--properties-file").arg(properties);
        command.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", "secret").env("AWS_REGION", "us-east-1");
        Kcl(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("java runs"))
    }

    fn start_ours(&self) -> LeasedConsumerHandle<DynamoTable> {
        // KCL hands nothing over, so nothing is asked of it.
        let plan = PlanSettings { failover: FAILOVER, handover_timeout: Duration::ZERO, ..PlanSettings::default() };
        let worker = WorkerSettings {
            plan,
            take_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_secs(2),
            ..WorkerSettings::unique("ours")
        };
        let source = (self.kinesis.client.clone(), fast(&self.stream.name));
        let (deliveries, handle) = LeasedConsumer::start(source, &quick(), self.table.clone(), worker).unwrap();
        tokio::spawn(process(deliveries, self.ours.clone()));
        handle
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Payloads by KCL, and by this crate; some come again.
    fn processed(&self) -> (Vec<String>, Vec<String>) {
        let kcl = std::fs::read_to_string(self.ledger()).unwrap_or_default();
        (kcl.lines().map(str::to_owned).collect(), self.ours.lock().unwrap().clone())
    }

    async fn until_all_are_processed(&self, what: &str) {
        self.until(what, |_| {
            let (kcl, ours) = self.processed();
            kcl.iter().chain(&ours).collect::<BTreeSet<_>>().len() == self.stream.len()
        })
        .await;
    }

    /// Waits for the rows to be so. Every row must be one that this crate understands, at all times.
    async fn until(&self, what: &str, done: impl Fn(&[LeaseRow]) -> bool) {
        let began = Instant::now();
        loop {
            let rows = match self.table.scan().await {
                Ok(scan) => {
                    assert_eq!(scan.bad, [], "{what}");
                    scan.rows
                }
                // KCL makes the table when it is up.
                Err(_) => Vec::new(),
            };
            if done(&rows) {
                return println!("{what}: after {:.1?}", began.elapsed());
            }
            if began.elapsed() > PATIENCE {
                let (kcl, ours) = self.processed();
                panic!("{what}: {} by KCL, {} by us, of {}; {rows:#?}", kcl.len(), ours.len(), self.stream.len());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn process(mut deliveries: Receiver<LeasedDelivery<DynamoTable>>, ledger: Arc<Mutex<Vec<String>>>) {
    let mut tokens = BTreeMap::new();
    while let Some(message) = deliveries.recv().await {
        match message {
            LeasedDelivery::Gained(token) => {
                tokens.insert(token.key().clone(), token);
            }
            LeasedDelivery::Read { token, delivery: Delivery::Page { records, end, .. } } if !records.is_empty() => {
                let payloads = records.into_iter().map(|record| String::from_utf8(record.data).unwrap());
                ledger.lock().unwrap().extend(payloads);
                _ = token.checkpoint(end, None).await;
            }
            LeasedDelivery::Read { token, delivery: Delivery::ShardEnded { .. } } => {
                _ = token.checkpoint(Checkpoint::ShardEnd, None).await;
                tokens.remove(token.key());
            }
            LeasedDelivery::Asked(token) => {
                _ = token.release().await;
                tokens.remove(token.key());
            }
            LeasedDelivery::Lost { token, .. } => {
                tokens.remove(token.key());
            }
            _ => {}
        }
    }
}

/// How many live leases workers whose names begin like this have.
fn held(rows: &[LeaseRow], by: &str) -> usize {
    rows.iter().filter(|row| !row.is_finished() && row.owner.as_ref().is_some_and(|owner| owner.starts_with(by))).count()
}

#[tokio::test]
async fn kcl_and_this_crate_share_a_table() {
    let Some(jars) = std::env::var_os("KCL_JARS").map(PathBuf::from).filter(|jars| jars.is_dir()) else {
        println!("skipped: KCL is not installed (run `make kcl-oracle`)");
        return;
    };
    let (Some(kinesis), Some(dynamo)) = (Server::kinesis_local().await, Dynamo::dynalite().await) else { return };
    let (table, table_name) = dynamo.table();
    let stream = Stream::create(&kinesis.client, 4).await;
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene { jars, folder, kinesis, dynamo, table, table_name, stream, ours: Arc::default() };

    scene.stream.put(48).await;
    let kcl = scene.start_kcl("kcl-1");
    scene.until_all_are_processed("KCL alone").await;
    scene.until("KCL has all four", |rows| held(rows, "kcl-1") == 4).await;

    let ours = scene.start_ours();
    scene.until("we take our share from KCL", |rows| (held(rows, "kcl-1"), held(rows, "ours")) == (2, 2)).await;
    scene.stream.put(48).await;
    scene.until_all_are_processed("both").await;

    drop(kcl);
    scene.stream.put(48).await;
    scene.until("KCL is killed and we take all", |rows| held(rows, "ours") == 4).await;
    scene.until_all_are_processed("we alone").await;

    scene.stream.split(&scene.stream.open_shards().await[0]).await;
    scene.stream.put(48).await;
    scene.until_all_are_processed("through a split").await;
    scene.until("five leases are left to read", |rows| held(rows, "ours") == 5).await;

    let kcl = scene.start_kcl("kcl-2");
    scene.until("KCL takes its share from us", |rows| held(rows, "kcl-2") >= 2 && held(rows, "ours") >= 2).await;
    scene.stream.put(48).await;
    scene.until_all_are_processed("both again").await;

    assert_eq!(ours.stop().await, 0, "all were released");
    scene.until("we stop and KCL takes back", |rows| held(rows, "kcl-2") == 5).await;
    let before = scene.processed().1.len();
    scene.stream.put(48).await;
    scene.until_all_are_processed("KCL alone again").await;
    drop(kcl);
    let (by_kcl, by_us) = scene.processed();
    assert_eq!(by_us.len(), before);
    let again = by_kcl.len() + by_us.len() - scene.stream.len();
    println!("{} records: {} by KCL, {} by us, {again} of them again", scene.stream.len(), by_kcl.len(), by_us.len());
}
