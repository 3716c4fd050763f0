//! What a snapshot keeps of the workers: taken at once, put in order when it is written.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::finding::Digest128;
use crate::identity::ActorKey;
use crate::state::chunked::Chunked;
use crate::state::{ActorState, CredentialState, KeyState};

/// Rows by key, as some workers hold them.
type Rows<K, V> = Vec<Chunked<(K, V)>>;
/// Actors, with whether they are settled.
type Actors = Vec<(bool, Chunked<(ActorKey, ActorState)>)>;

/// All workers together: how many there are may change between two runs. Its bytes are in an order that does not depend on
/// the tables'.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkersImage {
    /// Actors, with whether they are settled.
    #[serde(serialize_with = "actors_in_order", deserialize_with = "read_actors")]
    pub(super) actors: Actors,
    /// Credentials with refusals.
    #[serde(serialize_with = "in_order", deserialize_with = "read_rows")]
    pub(super) credentials: Rows<Digest128, CredentialState>,
    /// Credentials by where they were used.
    #[serde(serialize_with = "in_order", deserialize_with = "read_rows")]
    pub(super) keys: Rows<Arc<str>, KeyState>,
}

fn actors_in_order<S: Serializer>(tables: &Actors, serializer: S) -> Result<S::Ok, S::Error> {
    let mut actors: Vec<(bool, &ActorState)> =
        tables.iter().flat_map(|(settled, rows)| rows.iter().map(|(_, actor)| (*settled, actor))).collect();
    actors.sort_unstable_by(|(_, a), (_, b)| a.key.cmp(&b.key));
    serializer.collect_seq(actors)
}

fn read_actors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Actors, D::Error> {
    let actors = Vec::<(bool, ActorState)>::deserialize(deserializer)?;
    let (mut settled, mut newcomers) = (Chunked::default(), Chunked::default());
    for (is_settled, actor) in actors {
        let table = if is_settled { &mut settled } else { &mut newcomers };
        table.push((actor.key.clone(), actor));
    }
    Ok(vec![(true, settled), (false, newcomers)])
}

fn in_order<K: Ord + Serialize, V: Serialize, S: Serializer>(tables: &Rows<K, V>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut rows: Vec<&(K, V)> = tables.iter().flat_map(Chunked::iter).collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    serializer.collect_seq(rows)
}

fn read_rows<'de, K, V, D>(deserializer: D) -> Result<Rows<K, V>, D::Error>
where
    K: Clone + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(vec![Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect()])
}
