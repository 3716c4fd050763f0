//! Where calls come from: one credential in two places, and calls from outside of the perimeter.

use geophone::detect::PerimeterSettings;
use geophone::engine::Engine;
use geophone::finding::{DetectorId, Severity};
use serde_json::json;

use crate::support::calls::{NOVA, call, from, observed, of, orders, play, settings, sts, time};
use crate::support::story;

#[test]
fn one_key_in_two_places_at_once_is_theft() {
    const BOTO: &str = "Boto3/1.34 ua/2.0 os/linux#5.10";
    const CURL: &str = "curl/8.0";
    const CLI: &str = "aws-cli/2.15 os/linux#6.1";
    let grant = sts("s", 0, "ASIA1", json!({"dept": "marketing"}));
    let at = |id: &str, seconds, address: &str, agent: &str| from(call(id, seconds, "ASIA1", "InvokeModel", NOVA), address, agent, None);
    for (events, expected) in [
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", CURL), at("3", 90, "192.0.2.9", BOTO)], Some(Severity::High)),
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", BOTO), at("3", 90, "192.0.2.9", BOTO)], Some(Severity::Low)),
        // A VPN that takes only some of a person's tools.
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", CLI), at("3", 90, "192.0.2.9", BOTO)], Some(Severity::Medium)),
        // Two families of addresses of one machine.
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "2001:db8::7", CLI), at("3", 90, "192.0.2.9", BOTO)], None),
        // One place after the other, the same network, the same tool by another name.
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", BOTO), at("3", 90, "198.51.100.7", BOTO)], None),
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "192.0.2.200", BOTO), at("3", 90, "192.0.2.1", BOTO)], None),
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 6_000, "198.51.100.7", CURL), at("3", 20_000, "192.0.2.1", BOTO)], None),
    ] {
        for order in orders(&events).into_iter().filter(|order| order.len() < 3 || expected.is_some() || order[0] == events[0]) {
            let all = [vec![grant.clone()], order].concat();
            let told = play(&settings(), &all);
            let worst = of(&told, DetectorId::SessionTheft).iter().map(|alert| alert.severity).max();
            assert_eq!(worst, expected, "{all:?}");
        }
    }
}

#[test]
fn the_credentials_of_an_instance_stay_in_it() {
    let machine = |id: &str, at, name: &str, address: &str, endpoint: Option<&str>| {
        let mut event = call(id, at, "ASIA7", name, NOVA);
        event["userIdentity"]["arn"] = json!("arn:aws:sts::111122223333:assumed-role/Batch/i-0123456789abcdef0");
        event["userIdentity"]["sessionContext"]["ec2RoleDelivery"] = json!("2.0");
        from(event, address, "Boto3/1.34 os/linux", endpoint)
    };
    let inside = || machine("1", 10, "InvokeModel", "10.0.0.5", Some("vpce-1"));
    let outside = |at, agent: &str, version: &str, region: &str| {
        let mut event = from(machine("2", at, "Converse", "203.0.113.7", None), "203.0.113.7", agent, None);
        event["userIdentity"]["sessionContext"]["ec2RoleDelivery"] = json!(version);
        event["awsRegion"] = json!(region);
        event
    };
    const BOTO: &str = "Boto3/1.34 os/linux";
    for (other, expected) in [
        (outside(60, BOTO, "2.0", "us-east-1"), None),
        (outside(5_000, BOTO, "2.0", "us-east-1"), Some(Severity::Medium)),
        (outside(60, "Python/3.12 aiohttp/3.11", "1.0", "us-west-2"), Some(Severity::High)),
        // Another region by another way out, with the same program.
        (outside(60, BOTO, "2.0", "us-west-2"), None),
        // The control plane has no endpoint here.
        (machine("2", 60, "ListFoundationModels", "203.0.113.7", None), None),
        (machine("2", 60, "InvokeModel", "10.0.0.5", Some("vpce-1")), None),
    ] {
        // Both are used at once where the inside goes on afterwards.
        let again = machine("3", 90, "InvokeModel", "10.0.0.5", Some("vpce-1"));
        let expected = if other["eventTime"] == json!(time(60))
            && expected.is_none()
            && other["awsRegion"] == "us-east-1"
            && other["eventName"] == "Converse"
        {
            Some(Severity::High)
        } else {
            expected
        };
        for order in [vec![inside(), other.clone(), again.clone()], vec![other.clone(), inside(), again.clone()]] {
            let told = play(&settings(), &order);
            let worst = told.alerts.iter().filter(|alert| alert.detector == DetectorId::SessionTheft).map(|alert| alert.severity).max();
            assert_eq!(worst, expected, "{other}");
        }
    }
}

#[test]
fn a_call_from_outside_of_the_perimeter_is_told_at_once_and_learns_who_it_was() {
    let mut settings = settings();
    settings.detectors.perimeter = PerimeterSettings {
        vpc_endpoints: vec!["vpce-1".to_owned()],
        networks: vec!["198.51.100.0/24".parse().expect("a network")],
        regions: vec!["us-east-1".to_owned()],
        tls_min: Some((1, 3)),
    };
    let grant = sts("s", 400, "ASIA1", json!({"dept": "marketing"}));
    let one = |address: &str, endpoint: Option<&str>| from(call("i", 10, "ASIA1", "InvokeModel", NOVA), address, "x", endpoint);
    for (event, reason) in [
        (one("10.0.0.1", Some("vpce-1")), None),
        (one("198.51.100.9", None), None),
        (one("203.0.113.9", None), Some("203.0.113.9")),
        (one("10.0.0.1", Some("vpce-2")), Some("vpce-2")),
        (one("lambda.amazonaws.com", None), None),
        (
            {
                let mut event = one("10.0.0.1", Some("vpce-1"));
                event["awsRegion"] = json!("eu-west-1");
                event
            },
            Some("eu-west-1"),
        ),
        (
            {
                let mut event = one("10.0.0.1", Some("vpce-1"));
                event["tlsDetails"] = json!({"tlsVersion": "TLSv1.2"});
                event
            },
            Some("TLSv1.2"),
        ),
    ] {
        // The record that names the person comes last: the alert is open by then.
        let mut engine = Engine::new(settings.clone());
        let told = story::feed(&mut engine, observed(std::slice::from_ref(&event)));
        let alerts = of(&told, DetectorId::Perimeter);
        assert_eq!(alerts.len(), usize::from(reason.is_some()), "{event}");
        if let Some(reason) = reason {
            assert!(alerts[0].explanation.contains(reason) && !alerts[0].who.is_settled(), "{}", alerts[0].explanation);
            story::feed(&mut engine, observed(std::slice::from_ref(&grant)));
            assert_eq!(engine.open_alerts(9)[0].who.person.as_deref(), Some("bob@example.com"));
        }
    }
}
