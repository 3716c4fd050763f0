//! Update and condition expressions. Pure.
//!
//! Attribute names stand in them as they are: none of ours is among DynamoDB's reserved words.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes::{
    self, CHECKPOINT_OWNER, COUNTER, OWNER, OWNER_SWITCHES, PENDING, PENDING_STATE, PENDING_SUB_SEQUENCE, SNAPSHOT_REF,
};
use crate::leasing::lease::{Change, Fence, Write};

/// The clauses of a request, joined when it is made.
#[derive(Debug, Default)]
pub(super) struct Expression {
    set: Vec<String>,
    remove: Vec<&'static str>,
    add: Vec<String>,
    conditions: Vec<String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Expression {
    pub(super) fn set(&mut self, name: &'static str, value: AttributeValue) {
        let value = self.value(value);
        self.set.push(format!("{name} = {value}"));
    }

    fn remove(&mut self, name: &'static str) {
        self.remove.push(name);
    }

    fn add(&mut self, name: &'static str, count: u64) {
        let value = self.value(AttributeValue::N(count.to_string()));
        self.add.push(format!("{name} {value}"));
    }

    pub(super) fn exists(&mut self, name: &'static str) {
        self.conditions.push(format!("attribute_exists({name})"));
    }

    pub(super) fn equals(&mut self, name: &'static str, value: AttributeValue) {
        let value = self.value(value);
        self.conditions.push(format!("{name} = {value}"));
    }

    fn is_string(&mut self, name: &'static str, value: Option<&Arc<str>>) {
        match value {
            Some(value) => self.equals(name, AttributeValue::S(value.to_string())),
            None => self.conditions.push(format!("attribute_not_exists({name})")),
        }
    }

    fn set_or_remove(&mut self, name: &'static str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    pub(super) fn update(&self) -> String {
        let clause = |verb: &str, parts: &[String]| (!parts.is_empty()).then(|| format!("{verb} {}", parts.join(", ")));
        let remove: Vec<String> = self.remove.iter().map(|name| (*name).to_owned()).collect();
        let clauses = [clause("SET", &self.set), clause("REMOVE", &remove), clause("ADD", &self.add)];
        clauses.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub(super) fn condition(&self) -> String {
        self.conditions.join(" AND ")
    }
}

/// The row must be as its author last saw it.
pub(super) fn of_fence(fence: &Fence) -> Expression {
    let mut expression = Expression::default();
    expression.equals(COUNTER, AttributeValue::N(fence.counter.to_string()));
    expression.is_string(OWNER, fence.owner.as_ref());
    expression.is_string(CHECKPOINT_OWNER, fence.checkpoint_owner.as_ref());
    expression
}

/// A write and its fence, in one request.
pub(super) fn of_write(write: &Write) -> Expression {
    let mut expression = of_fence(&write.fence);
    expression.set(COUNTER, AttributeValue::N(write.fence.counter.saturating_add(1).to_string()));
    let (owner, checkpoint_owner) = write.owners_after();
    for (name, before, after) in [(OWNER, &write.fence.owner, owner), (CHECKPOINT_OWNER, &write.fence.checkpoint_owner, checkpoint_owner)] {
        if *before != after {
            expression.set_or_remove(name, after.map(|worker| AttributeValue::S(worker.to_string())));
        }
    }
    if write.switches_owner() {
        expression.add(OWNER_SWITCHES, 1);
    }
    if let Change::Checkpoint { to, snapshot_ref } = &write.change {
        for (name, value) in attributes::of_checkpoint(to) {
            expression.set_or_remove(name, value);
        }
        expression.set_or_remove(SNAPSHOT_REF, snapshot_ref.as_ref().map(|name| AttributeValue::S(name.to_string())));
        expression.set(OWNER_SWITCHES, AttributeValue::N("0".to_owned()));
        // As KCL does: what was pending belonged to the checkpoint before.
        for name in [PENDING, PENDING_SUB_SEQUENCE, PENDING_STATE] {
            expression.remove(name);
        }
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::leasing::lease::LeaseRow;

    #[test]
    fn a_write_is_one_request_that_names_what_it_changes_and_nothing_else() {
        let me: Arc<str> = "me".into();
        let row = LeaseRow { owner: Some("b".into()), counter: 4, ..LeaseRow::new("s", Checkpoint::TrimHorizon) };
        let expression = of_write(&Write::new(&row, &me, Change::Claim));
        assert_eq!(expression.condition(), "leaseCounter = :v0 AND leaseOwner = :v1 AND attribute_not_exists(checkpointOwner)");
        assert_eq!(
            expression.update(),
            "SET leaseCounter = :v2, leaseOwner = :v3, checkpointOwner = :v4 ADD ownerSwitchesSinceCheckpoint :v5"
        );
        assert_eq!(expression.values[":v2"], AttributeValue::N("5".into()));

        let renew = of_write(&Write::new(&row, &"b".into(), Change::Renew));
        assert_eq!(renew.update(), "SET leaseCounter = :v2");
        let release = of_write(&Write::new(&row, &"b".into(), Change::Release));
        assert_eq!(release.update(), "SET leaseCounter = :v2 REMOVE leaseOwner");

        let to = Change::Checkpoint { to: Checkpoint::after("7"), snapshot_ref: None };
        let update = of_write(&Write::new(&row, &"b".into(), to)).update();
        assert!(update.starts_with("SET leaseCounter = :v2, checkpoint = :v3, checkpointSubSequenceNumber = :v4"), "{update}");
        assert!(update.contains("snapshotRef") && update.contains("pendingCheckpointState"), "{update}");
    }
}
