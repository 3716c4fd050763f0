//! A storm: one role of a build server is refused five thousand times a minute.

use std::collections::HashSet;

use geophone::alerting::{Page, Paging, Status};
use geophone::engine::Engine;
use geophone_company::wire;

use crate::support::records::{denied, key};
use crate::support::story;

const START: i64 = 1_780_315_200;
/// Events of one GetRecords answer.
const BATCH: usize = 200;

#[test]
fn five_thousand_refusals_a_minute_are_one_incident_and_three_messages() {
    for minutes in [1, 10] {
        let count = 5_000 * minutes;
        let events: Vec<String> = (0..count).map(|n| denied(&key("STORM", 0), n, START + n as i64 * 60 / 5_000)).collect();
        let (mut engine, mut paging, mut pages) = (Engine::new(Default::default()), Paging::default(), Vec::new());
        let mut events_told = 0;
        for batch in events.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
            let told = story::feed(&mut engine, story::observe(&wire::ndjson(&texts)));
            events_told += told.counts.events;
            let now = told.alerts.last().map(|alert| alert.time);
            now.into_iter().for_each(|now| paging.take_all(told.alerts.iter().cloned(), now, &mut pages));
        }
        let alerts: Vec<_> = pages.iter().filter_map(|page| if let Page::Alert(alert) = page { Some(alert) } else { None }).collect();
        let incidents: HashSet<_> = alerts.iter().map(|alert| alert.incident_id).collect();
        assert!(
            incidents.len() == 1 && (1..=3).contains(&alerts.len()),
            "{minutes} min: {} incidents, {} messages",
            incidents.len(),
            alerts.len()
        );
        assert_eq!((alerts[0].status, alerts[0].severity.label(), events_told), (Status::Opened, "high", count as u64));
        assert_eq!(engine.open_alerts(9).iter().map(|alert| alert.event_count).collect::<Vec<_>>(), [count as u64]);
    }
}
