//! Attacks with the session of a person.

use crate::attack::script::{Stage, model};
use crate::call::{Control, Operation, Refusal};
use crate::clock::{HOUR, MINUTE};
use crate::json::object_text;
use crate::model::{MODELS, Model};
use crate::record::COGNITO_IDP;

const OTHER_REGIONS: [&str; 3] = ["us-west-2", "eu-central-1", "ap-northeast-1"];

/// A sweep over everybody else's models, at home and then abroad.
pub(crate) fn denied_probe(stage: &mut Stage<'_>) {
    let (person, visit) = stage.insider("marketing", 10 * MINUTE);
    stage.blame(&person.email);
    let company = stage.company;
    let department = &company.departments[person.department_index];
    let foreign: Vec<&Model> = MODELS.iter().filter(|m| !department.may_call(m.id)).collect();
    for model in &foreign {
        let refusal = match model.id.starts_with("anthropic.claude-opus") {
            true => Refusal::ExplicitDeny,
            false => Refusal::MissingPermission,
        };
        stage.call(&visit.session, model, Some(refusal));
        stage.wait(4, 15);
    }
    for region in OTHER_REGIONS {
        for model in foreign.iter().take(3) {
            let refusal = Some(Refusal::ServiceControlPolicy);
            stage.call_in(&visit.session, region, Operation::InvokeModel, model, refusal);
            stage.wait(3, 9);
        }
    }
}

/// A handful of calls that the table forbids and IAM, having drifted, lets pass.
pub(crate) fn cross_department(stage: &mut Stage<'_>) {
    let (person, visit) = stage.insider("marketing", 15 * MINUTE);
    stage.blame(&person.email);
    let opus = model("anthropic.claude-opus");
    for _ in 0..8 {
        stage.call(&visit.session, opus, None);
        stage.wait(30, 100);
    }
}

/// Hundreds of calls in about ten minutes, of models that the person may call.
pub(crate) fn invocation_burst(stage: &mut Stage<'_>) {
    let (person, visit) = stage.insider("finance", 15 * MINUTE);
    stage.blame(&person.email);
    let calls = stage.journal.random.between(420, 600);
    let Some(&favourite) = person.habits.models.first() else { return };
    for _ in 0..calls {
        stage.call(&visit.session, favourite, None);
        stage.wait(0, 3);
    }
}

/// Permitted by IAM, but the account has never asked for these models.
pub(crate) fn model_not_enabled(stage: &mut Stage<'_>) {
    let (person, visit) = stage.insider("research", 15 * MINUTE);
    stage.blame(&person.email);
    for _ in 0..2 {
        for wanted in person.habits.models.iter().filter(|model| model.converses()) {
            stage.call(&visit.session, wanted, Some(Refusal::ModelNotEnabled));
            stage.wait(5, 40);
        }
    }
}

/// An administrator disables the person, whose credentials last on.
pub(crate) fn offboarded(stage: &mut Stage<'_>) {
    let company = stage.company;
    let (person, visit) = stage.insider("legal", 25 * MINUTE);
    let (_, desk) = stage.insider("platform", MINUTE);
    stage.blame(&person.email);
    // The removal itself is honest work, by the administrator or by HR's tool.
    let removal = stage.now;
    let request = object_text(|request| {
        request.text("userPoolId", &company.estate.user_pool);
        request.text("username", "HIDDEN_DUE_TO_SECURITY_REASONS");
    });
    let subject = object_text(|data| data.text("sub", &person.user_pool_sub));
    for name in ["AdminDisableUser", "AdminUserGlobalSignOut"] {
        let call = Control::bedrock(&desk.session, &company.estate.region, removal, name);
        let call = Control { source: COGNITO_IDP, request_json: &request, additional_json: &subject, ..call };
        stage.unlabelled(|journal| call.record(journal));
    }
    stage.wait(4 * MINUTE, 6 * MINUTE);
    let Some(&favourite) = person.habits.models.first() else { return };
    for _ in 0..12 {
        stage.call(&visit.session, favourite, None);
        stage.wait(20, 80);
    }
}

/// A night's work by somebody who is never there at night.
pub(crate) fn odd_hours(stage: &mut Stage<'_>) {
    let company = stage.company;
    // Of the night that follows, if it begins by day.
    let second = stage.now - company.midnight(stage.now);
    if second > 4 * HOUR {
        stage.now += 26 * HOUR - second;
    }
    let staff = stage.staff("compliance");
    let person = *stage.journal.random.pick(&staff);
    let visit = stage.fresh_visit(person);
    stage.blame(&person.email);
    let Some(&favourite) = person.habits.models.first() else { return };
    for _ in 0..90 {
        stage.call(&visit.session, favourite, None);
        stage.wait(10, 50);
    }
}

/// Nobody stands out, the department does.
pub(crate) fn campaign(stage: &mut Stage<'_>) {
    let start = stage.now;
    for person in stage.staff("engineering") {
        stage.now = start;
        stage.wait(0, 5 * MINUTE);
        let visit = stage.fresh_visit(person);
        stage.blame(&person.email);
        let Some(&favourite) = person.habits.models.first() else { continue };
        // Three times what two hours of a usual day hold.
        let calls = (person.habits.calls * 3.0 / 4.0).ceil() as i64;
        // Chained credentials last an hour, so all of it happens within one.
        let gap = 50 * MINUTE / calls.max(1);
        for _ in 0..calls {
            stage.call(&visit.session, favourite, None);
            stage.wait(gap / 2, gap);
        }
        stage.journal.label = None;
    }
}
