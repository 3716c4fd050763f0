//! An SQS queue of a server that other people wrote, asked through its query protocol.

use super::http;

pub struct Queue {
    address: String,
    url: String,
    pub arn: String,
}

impl Queue {
    /// Makes a FIFO queue at the server at `address`.
    pub async fn create(address: &str, name: &str) -> Self {
        let asked = format!("Action=CreateQueue&Version=2012-11-05&QueueName={name}&Attribute.1.Name=FifoQueue&Attribute.1.Value=true");
        let url = one(&ask(address, &asked).await, "QueueUrl").expect("a URL");
        // MiniStack's account.
        Self { address: address.to_owned(), url, arn: format!("arn:aws:sqs:us-east-1:000000000000:{name}") }
    }

    /// Takes messages until there are so many, or none comes any more.
    pub async fn receive(&self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        let mut quiet = 0;
        while bodies.len() < count && quiet < 20 {
            let asked = format!(
                "Action=ReceiveMessage&Version=2012-11-05&QueueUrl={}&MaxNumberOfMessages=10&WaitTimeSeconds=1",
                self.url.replace(':', "%3A").replace('/', "%2F")
            );
            let answer = ask(&self.address, &asked).await;
            let before = bodies.len();
            for message in answer.split("<Message>").skip(1) {
                bodies.extend(one(message, "Body"));
                let handle = one(message, "ReceiptHandle").expect("a handle");
                let done = format!("Action=DeleteMessage&Version=2012-11-05&QueueUrl={}&ReceiptHandle={handle}", self.url);
                ask(&self.address, &done).await;
            }
            quiet = if bodies.len() == before { quiet + 1 } else { 0 };
        }
        bodies
    }
}

async fn ask(address: &str, body: &str) -> String {
    let credential = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", credential)];
    let reply = http::send(address, "POST", "/", &headers, body).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn one(text: &str, element: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{element}>"))?;
    Some(rest.split_once(&format!("</{element}>"))?.0.to_owned())
}
