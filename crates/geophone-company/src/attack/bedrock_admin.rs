//! Attacks on what protects and feeds the models.

use crate::attack::script::Stage;
use crate::call::Control;
use crate::clock::{MINUTE, iso};
use crate::json::object_text;
use crate::session::Session;

/// The guardrail is loosened, tried, and deleted.
pub(crate) fn guardrail_tampering(stage: &mut Stage<'_>) {
    let (person, visit) = stage.insider("platform", 5 * MINUTE);
    stage.blame(&person.email);
    let estate = &stage.company.estate;
    let (region, account, id) = (&estate.region, &estate.account, &estate.guardrail);
    let identifier = object_text(|request| request.text("guardrailIdentifier", id));
    let update = object_text(|request| {
        request.text("guardrailIdentifier", id);
        request.text("name", "HIDDEN_DUE_TO_SECURITY_REASONS");
    });
    let updated = object_text(|response| {
        let arn = format!("arn:aws:bedrock:{region}:{account}:guardrail/{id}");
        response.text("guardrailArn", &arn);
        response.text("guardrailId", id);
        response.text("updatedAt", &iso(stage.now));
        response.text("version", "DRAFT");
    });
    admin(stage, &visit.session, "ListGuardrails", "null", "null");
    admin(stage, &visit.session, "GetGuardrail", &identifier, "null");
    admin(stage, &visit.session, "UpdateGuardrail", &update, &updated);
    admin(stage, &visit.session, "DeleteGuardrail", &identifier, "null");
}

/// Somebody else's documents get into the knowledge base that answers questions.
pub(crate) fn rag_poisoning(stage: &mut Stage<'_>) {
    let (person, visit) = stage.insider("engineering", 10 * MINUTE);
    stage.blame(&person.email);
    let base = stage.journal.random.unique_id("");
    let (base, source) = base.split_at(10);
    let knowledge_base = object_text(|request| request.text("knowledgeBaseId", base));
    let data_source = object_text(|request| {
        request.text("knowledgeBaseId", base);
        request.text("dataSourceId", source);
    });
    let created = object_text(|response| {
        response.object("dataSource", |out| {
            out.text("knowledgeBaseId", base);
            out.text("dataSourceId", source);
            out.text("status", "AVAILABLE");
        });
    });
    admin(stage, &visit.session, "ListDataSources", &knowledge_base, "null");
    admin(stage, &visit.session, "CreateDataSource", &knowledge_base, &created);
    admin(stage, &visit.session, "StartIngestionJob", &data_source, "null");
    admin(stage, &visit.session, "IngestKnowledgeBaseDocuments", &data_source, "null");
    admin(stage, &visit.session, "DeleteKnowledgeBaseDocuments", &data_source, "null");
}

fn admin(stage: &mut Stage<'_>, session: &Session, name: &str, request: &str, response: &str) {
    let call = Control::bedrock(session, &stage.company.estate.region, stage.now, name);
    Control { request_json: request, response_json: response, ..call }.record(&mut stage.journal);
    stage.wait(10, 45);
}
