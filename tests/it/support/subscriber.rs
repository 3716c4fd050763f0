//! An HTTP subscriber of SNS: confirms its subscription as SNS asks, and keeps what it is notified of.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use aws_sdk_sns::Client;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::http;
use super::wait::eventually;

type Posts = Arc<Mutex<Vec<Value>>>;

pub struct Subscriber {
    endpoint: String,
    posts: Posts,
    task: AbortHandle,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    pub async fn start() -> Self {
        let posts = Posts::default();
        let router = Router::new().route("/", post(take)).with_state(Arc::clone(&posts));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = format!("http://{}/", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") }).abort_handle();
        Self { endpoint, posts, task }
    }

    /// Subscribes to a topic of the server at `address`, and confirms by the URL that the server posts.
    pub async fn subscribe(&self, sns: &Client, topic: &str, address: &str) {
        sns.subscribe().topic_arn(topic).protocol("http").endpoint(&self.endpoint).send().await.expect("subscribed");
        let url = eventually("a request for confirmation", async || {
            self.of_type("SubscriptionConfirmation").first().and_then(|post| post["SubscribeURL"].as_str().map(str::to_owned))
        })
        .await;
        // The server may call itself by a name; its address is known.
        let path = url.trim_start_matches("http://").find('/').map(|at| &url["http://".len() + at..]).expect("a path");
        let reply = http::get(address, path).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// Waits for so many notifications.
    pub async fn notifications(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} notifications"), async || {
            Some(self.of_type("Notification")).filter(|notifications| notifications.len() >= count)
        })
        .await
    }

    /// Waits for a notification with this message, and gives all that came by then.
    pub async fn until(&self, message: &str) -> Vec<Value> {
        eventually(&format!("a notification \"{message}\""), async || {
            Some(self.of_type("Notification")).filter(|all| all.iter().any(|notification| notification["Message"] == message))
        })
        .await
    }

    fn of_type(&self, wanted: &str) -> Vec<Value> {
        let posts = self.posts.lock().expect("no panics");
        posts.iter().filter(|post| post["Type"] == wanted).cloned().collect()
    }
}

async fn take(State(posts): State<Posts>, headers: HeaderMap, body: String) {
    let post: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(headers["x-amz-sns-message-type"], *post["Type"].as_str().expect("a type"));
    posts.lock().expect("no panics").push(post);
}
