//! Leases in DynamoDB, in KCL 2's table.
//!
//! Each call names single attributes (`UpdateItem` with an expression, never `PutItem` over a row
//! that is there), so what KCL or anybody else keeps beside ours stays. KCL in turn leaves ours
//! alone. Reads are consistent.
//!
//! The policy needs `dynamodb:DescribeTable`, `Scan`, `GetItem`, `PutItem`, `UpdateItem` and
//! `DeleteItem` on the table, and `CreateTable` unless it is made beforehand (string hash key
//! `leaseKey`).

pub mod attributes;
mod expression;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};

use super::{LeaseTable, Scan, TableError};
use crate::leasing::lease::{LeaseRow, Write};
use crate::trouble::{Fault, TroubleKind};

use attributes::{CHILDREN, KEY};
use expression::Expression;

/// How long a table that was just made may take to become usable. It is seconds as a rule.
const CREATION_WAIT: Duration = Duration::from_secs(120);
const CREATION_POLL: Duration = Duration::from_millis(500);

/// Keeps the leases of one stream in one DynamoDB table. Clones share the client.
#[derive(Debug, Clone)]
pub struct DynamoTable {
    client: Client,
    table: Arc<str>,
}

impl DynamoTable {
    /// The table `table`, which need not be there yet: [`prepare`](LeaseTable::prepare) makes it,
    /// billed by request. It should be this application's own.
    ///
    /// [`client_config_defaults`] gives the client the time-outs that leases need.
    pub fn new(client: Client, table: impl Into<Arc<str>>) -> Self {
        Self { client, table: table.into() }
    }

    async fn status(&self) -> Result<Option<TableStatus>, Fault> {
        match self.client.describe_table().table_name(&*self.table).send().await {
            Ok(reply) => Ok(reply.table.and_then(|table| table.table_status)),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn make(&self) -> Result<(), Fault> {
        let refused = |error: aws_sdk_dynamodb::error::BuildError| Fault::new(TroubleKind::Rejected, error.to_string());
        let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build().map_err(refused)?;
        let kind = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S).build().map_err(refused)?;
        let request = self.client.create_table().table_name(&*self.table).key_schema(key).attribute_definitions(kind);
        match request.billing_mode(BillingMode::PayPerRequest).send().await {
            Ok(_) => Ok(()),
            // Another worker was faster.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn key(&self, key: &str) -> HashMap<String, AttributeValue> {
        HashMap::from([(KEY.to_owned(), AttributeValue::S(key.to_owned()))])
    }

    /// One `UpdateItem`; `false` if its condition does not hold.
    async fn update(&self, key: &str, expression: Expression) -> Result<bool, Fault> {
        let request = self.client.update_item().table_name(&*self.table).set_key(Some(self.key(key)));
        let request = request.update_expression(expression.update()).condition_expression(expression.condition());
        match request.set_expression_attribute_values(Some(expression.values)).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl LeaseTable for DynamoTable {
    async fn prepare(&self) -> Result<(), TableError> {
        let ready = async {
            loop {
                match self.status().await? {
                    Some(TableStatus::Active | TableStatus::Updating) => return Ok(()),
                    Some(_) => {}
                    None => self.make().await?,
                }
                tokio::time::sleep(CREATION_POLL).await;
            }
        };
        let late = |_| Fault::new(TroubleKind::NotReady, format!("the table {} is not usable after {CREATION_WAIT:?}", self.table));
        let ready: Result<(), Fault> = tokio::time::timeout(CREATION_WAIT, ready).await.unwrap_or_else(|elapsed| Err(late(elapsed)));
        Ok(ready?)
    }

    async fn scan(&self) -> Result<Scan, TableError> {
        let mut scan = Scan::default();
        let mut from = None;
        loop {
            let request = self.client.scan().table_name(&*self.table).consistent_read(true).set_exclusive_start_key(from.take());
            let page = request.send().await.map_err(Fault::from)?;
            for item in page.items.unwrap_or_default() {
                match attributes::decode(&item) {
                    Ok(Some(row)) => scan.rows.push(row),
                    Ok(None) => {}
                    Err(bad) => scan.bad.push(bad),
                }
            }
            match page.last_evaluated_key {
                Some(key) if !key.is_empty() => from = Some(key),
                Some(_) | None => return Ok(scan),
            }
        }
    }

    async fn read(&self, key: &str) -> Result<Option<LeaseRow>, TableError> {
        let request = self.client.get_item().table_name(&*self.table).set_key(Some(self.key(key))).consistent_read(true);
        match request.send().await.map_err(Fault::from)?.item {
            Some(item) => Ok(attributes::decode(&item)?),
            None => Ok(None),
        }
    }

    async fn create(&self, row: &LeaseRow) -> Result<bool, TableError> {
        let request = self.client.put_item().table_name(&*self.table).set_item(Some(attributes::encode(row)));
        match request.condition_expression(format!("attribute_not_exists({KEY})")).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) => Ok(false),
            Err(error) => Err(Fault::from(error).into()),
        }
    }

    async fn write(&self, write: &Write) -> Result<bool, TableError> {
        Ok(self.update(&write.key, expression::of_write(write)).await?)
    }

    async fn adopt(&self, key: &str, children: &[Arc<str>]) -> Result<(), TableError> {
        // An empty set is no value in DynamoDB.
        if children.is_empty() {
            return Ok(());
        }
        let mut expression = Expression::default();
        expression.exists(KEY);
        expression.set(CHILDREN, attributes::string_set(children));
        // Without a lease there is nothing to say.
        self.update(key, expression).await?;
        Ok(())
    }

    async fn delete(&self, row: &LeaseRow) -> Result<(), TableError> {
        let mut expression = expression::of_fence(&row.fence());
        expression.equals(attributes::CHECKPOINT, AttributeValue::S(attributes::SHARD_END.to_owned()));
        let request = self.client.delete_item().table_name(&*self.table).set_key(Some(self.key(&row.key)));
        let request = request.condition_expression(expression.condition()).set_expression_attribute_values(Some(expression.values));
        match request.send().await {
            Ok(_) => Ok(()),
            // It has moved, or was deleted by another.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(Fault::from(error).into()),
        }
    }
}

/// Sets the time-outs and retries that leases need on a client's configuration: connect 1 s,
/// attempt 2 s, whole operation 5 s, two attempts. A lease lives for seconds; a call that takes
/// longer has failed, and is made again in the next round.
///
/// ```
/// # use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
/// let config = aws_sdk_dynamodb::Config::builder()
///     .behavior_version(BehaviorVersion::latest())
///     .region(Region::new("eu-central-1"));
/// let config = kinesis_lease::leasing::table::dynamo::client_config_defaults(config);
/// let client = aws_sdk_dynamodb::Client::from_conf(config.build());
/// ```
pub fn client_config_defaults(config: aws_sdk_dynamodb::config::Builder) -> aws_sdk_dynamodb::config::Builder {
    config
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(Duration::from_secs(2))
                .operation_timeout(Duration::from_secs(5))
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(2))
}
