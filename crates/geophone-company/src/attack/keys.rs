//! Attacks with keys that no person answers for.

use crate::attack::script::{Stage, model};
use crate::call::{Control, Operation, Refusal, model_json};
use crate::clock::MINUTE;
use crate::estate::Estate;
use crate::json::object_text;
use crate::model::MODELS;
use crate::random::Random;
use crate::record::{IAM, MANTLE, Record};
use crate::session::{Session, Traits, iam_user_json, user_arn};

const FOREIGN_IP: &str = "192.0.2.77";
const THIEF_AGENT: &str = "Boto3/1.35.99 md/Botocore#1.35.99 ua/2.0 os/windows#10 md/arch#amd64 \
    lang/python#3.12.3 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.35.99";

/// The long-lived key abroad: look, silence, enable, use.
pub(crate) fn llm_jacking(stage: &mut Stage<'_>) {
    let company = stage.company;
    let key_user = &company.key_user;
    let session = key_user.session(&company.estate, FOREIGN_IP, THIEF_AGENT);
    stage.blame(&key_user.name);
    let wanted = model("anthropic.claude-opus");
    for region in [company.estate.region.as_str(), "us-west-2", "eu-central-1"] {
        control(stage, &session, region, "ListFoundationModels", "null", "null");
        for seen in MODELS {
            let request = model_json(seen.id);
            control(stage, &session, region, "GetFoundationModelAvailability", &request, "null");
        }
    }
    for name in ["GetModelInvocationLoggingConfiguration", "DeleteModelInvocationLoggingConfiguration", "PutUseCaseForModelAccess"] {
        control(stage, &session, &company.estate.region, name, "null", "null");
    }
    let request = model_json(wanted.id);
    let region = &company.estate.region;
    control(stage, &session, region, "ListFoundationModelAgreementOffers", &request, "null");
    control(stage, &session, region, "CreateFoundationModelAgreement", &request, &request);
    let granted = "{\"status\":\"SUCCESS\"}";
    control(stage, &session, region, "PutFoundationModelEntitlement", &request, granted);
    for attempt in 0..60 {
        let refusal = (attempt < 3).then_some(Refusal::ModelNotEnabled);
        stage.call_in(&session, region, Operation::InvokeModel, wanted, refusal);
        stage.wait(1, 12);
    }
}

fn control(stage: &mut Stage<'_>, session: &Session, region: &str, name: &str, request_json: &str, response_json: &str) {
    let call = Control::bedrock(session, region, stage.now, name);
    Control { request_json, response_json, ..call }.record(&mut stage.journal);
    stage.wait(1, 4);
}

/// A Bedrock API key is minted by an administrator's session and used from outside.
pub(crate) fn bearer_key(stage: &mut Stage<'_>) {
    let company = stage.company;
    let (_, desk) = stage.insider("platform", 5 * MINUTE);
    let user = format!("BedrockAPIKey-{}", stage.journal.random.lower(4));
    stage.blame(&user);
    let user_id = stage.journal.random.unique_id("AIDA");
    mint(stage, &desk.session, &user, &user_id);
    stage.wait(5 * MINUTE, 9 * MINUTE);
    let bearer = bearer_session(&company.estate, &user, &user_id);
    let region = &company.estate.region;
    for _ in 0..40 {
        let wanted = model("anthropic.claude-sonnet");
        stage.call_in(&bearer, region, Operation::Converse, wanted, None);
        stage.wait(2, 10);
    }
    let key = stage.journal.random.unique_id("AKIA");
    let identity = iam_user_json(&company.estate, &user, &user_id, &key);
    for _ in 0..25 {
        create_inference(stage, &identity, &bearer);
        stage.wait(2, 10);
    }
}

fn mint(stage: &mut Stage<'_>, desk: &Session, user: &str, user_id: &str) {
    let estate = &stage.company.estate;
    let user_request = object_text(|request| request.text("userName", user));
    let user_response = object_text(|response| {
        response.object("user", |out| {
            out.text("path", "/");
            out.text("userName", user);
            out.text("userId", user_id);
            out.text("arn", &user_arn(estate, user));
        });
    });
    let key_request = object_text(|request| {
        request.text("userName", user);
        request.text("serviceName", "bedrock.amazonaws.com");
    });
    let key_id = stage.journal.random.unique_id("ACCA");
    let key_response = object_text(|response| {
        response.object("serviceSpecificCredential", |out| {
            out.text("serviceName", "bedrock.amazonaws.com");
            out.text("serviceSpecificCredentialId", &key_id);
            out.text("userName", user);
            out.text("status", "Active");
        });
    });
    for (name, request_json, response_json) in
        [("CreateUser", &user_request, &user_response), ("CreateServiceSpecificCredential", &key_request, &key_response)]
    {
        // IAM is a global service: its records are written in us-east-1.
        let call = Control::bedrock(desk, "us-east-1", stage.now, name);
        Control { source: IAM, request_json, response_json, ..call }.record(&mut stage.journal);
        stage.wait(2, 6);
    }
}

fn bearer_session(estate: &Estate, user: &str, user_id: &str) -> Session {
    Session {
        access_key: String::new(),
        user_identity_json: iam_user_json(estate, user, user_id, ""),
        arn: user_arn(estate, user),
        partition_key: user_arn(estate, user),
        source_ip: "192.0.2.140".to_owned(),
        user_agent: "OpenAI/Python 1.91.0".to_owned(),
        inside: false,
        from_console: false,
        started: i64::MIN,
        expires: i64::MAX,
    }
}

/// Mantle's own call: a data event, with the model and the token flag elsewhere.
fn create_inference(stage: &mut Stage<'_>, identity: &str, bearer: &Session) {
    let estate = &stage.company.estate;
    let request = object_text(|request| {
        request.text("model", "openai.gpt-oss-120b");
        request.flag("stream", true);
        request.text("service_tier", "default");
        request.flag("callWithBearerToken", true);
        request.text("bearerTokenType", "ABSK");
    });
    let project = format!("arn:aws:bedrock-mantle:{}:{}:project/default", estate.region, estate.account);
    let resources = crate::grant::resource(estate, "AWS::BedrockMantle::Project", &project);
    let random = &mut stage.journal.random;
    let mut record = Record::new(MANTLE, "CreateInference", &estate.account, random);
    record.version = "1.08";
    record.user_identity_json = identity;
    (record.time, record.region) = (stage.now, &estate.region);
    (record.source_ip, record.user_agent) = (&bearer.source_ip, &bearer.user_agent);
    record.request_json = &request;
    record.resources_json = &resources;
    (record.read_only, record.data_event) = (false, true);
    record.host = "bedrock-mantle";
    stage.journal.push(&record, &bearer.partition_key);
}

/// The key of an instance's role leaves the instance and goes to another region.
pub(crate) fn session_theft(stage: &mut Stage<'_>) {
    let company = stage.company;
    let Some(machine) = company.machines.first() else { return };
    // Credentials that end within minutes are not worth stealing.
    let mut held = machine.session(&company.estate, stage.now);
    if held.expires - stage.now < 20 * MINUTE {
        stage.now = held.expires + MINUTE;
        held = machine.session(&company.estate, stage.now);
    }
    if !company.played.contains(&company.midnight(stage.now)) {
        stage.unlabelled(|journal| machine.introduce(journal, &held));
    }
    stage.blame(&machine.name);
    let traits = Traits { ec2_role_delivery: Some("1.0"), ..Traits::default() };
    let mut stolen = machine.session_with(&company.estate, &held.access_key, held.started, traits);
    stolen.inside = false;
    FOREIGN_IP.clone_into(&mut stolen.source_ip);
    stolen.user_agent = foreign_agent(&mut stage.journal.random);
    let region = "us-west-2";
    control(stage, &stolen, region, "ListFoundationModels", "null", "null");
    let wanted = model("anthropic.claude-sonnet");
    for _ in 0..30 {
        stage.call_in(&stolen, region, Operation::Converse, wanted, None);
        stage.wait(4, 20);
    }
}

fn foreign_agent(random: &mut Random) -> String {
    format!("Python/3.12 aiohttp/3.11.{}", random.between(2, 18))
}
