//! What several tests need.

pub mod calls;
pub mod http;
pub mod kinesis;
pub mod policy_cases;
pub mod program;
pub mod queue;
pub mod records;
pub mod sns;
pub mod schema;
pub mod stage;
pub mod story;
pub mod subscriber;
pub mod tls;
pub mod tools;
pub mod wait;
