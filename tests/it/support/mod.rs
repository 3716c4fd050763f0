//! What several tests need.
pub mod story;
pub mod http;
pub mod kinesis;
pub mod program;
pub mod records;
pub mod sns;
pub mod tools;
pub mod wait;
pub mod stage;
pub mod subscriber;
