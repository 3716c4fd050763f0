//! One CloudTrail record, field for field in CloudTrail's own order.

use crate::clock::write_iso;
use crate::json::{Object, object};
use crate::random::{Random, Uuid};

pub(crate) const BEDROCK: &str = "bedrock.amazonaws.com";
pub(crate) const MANTLE: &str = "bedrock-mantle.amazonaws.com";
pub(crate) const STS: &str = "sts.amazonaws.com";
pub(crate) const COGNITO_IDENTITY: &str = "cognito-identity.amazonaws.com";
pub(crate) const COGNITO_IDP: &str = "cognito-idp.amazonaws.com";
pub(crate) const IAM: &str = "iam.amazonaws.com";

/// A record to be written. Fields that hold JSON are named so; an empty one is absent.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) version: &'a str,
    pub(crate) user_identity_json: &'a str,
    pub(crate) time: i64,
    pub(crate) source: &'a str,
    pub(crate) name: &'a str,
    pub(crate) region: &'a str,
    pub(crate) source_ip: &'a str,
    pub(crate) user_agent: &'a str,
    /// `errorCode` and `errorMessage`.
    pub(crate) error: Option<(&'a str, &'a str)>,
    pub(crate) request_json: &'a str,
    pub(crate) response_json: &'a str,
    pub(crate) additional_json: &'a str,
    pub(crate) service_details_json: &'a str,
    pub(crate) resources_json: &'a str,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) event_id: Uuid,
    pub(crate) shared_event_id: Option<Uuid>,
    pub(crate) read_only: bool,
    pub(crate) data_event: bool,
    pub(crate) account: &'a str,
    pub(crate) vpc_endpoint: &'a str,
    /// First label of the host that was called; empty for calls between services.
    pub(crate) host: &'a str,
    pub(crate) from_console: bool,
}

impl<'a> Record<'a> {
    /// A successful management call with nothing in it yet.
    pub(crate) fn new(source: &'a str, name: &'a str, account: &'a str, random: &mut Random) -> Self {
        Self {
            version: "1.11",
            user_identity_json: "{}",
            time: 0,
            source,
            name,
            region: "",
            source_ip: "",
            user_agent: "",
            error: None,
            request_json: "null",
            response_json: "null",
            additional_json: "",
            service_details_json: "",
            resources_json: "",
            request_id: Some(random.uuid()),
            event_id: random.uuid(),
            shared_event_id: None,
            read_only: true,
            data_event: false,
            account,
            vpc_endpoint: "",
            host: "",
            from_console: false,
        }
    }

    /// The record as CloudTrail would deliver it.
    pub(crate) fn json(&self) -> String {
        let mut out = String::with_capacity(2_200);
        object(&mut out, |record| {
            self.write_head(record);
            self.write_tail(record);
        });
        out
    }

    fn write_head(&self, record: &mut Object<'_>) {
        record.text("eventVersion", self.version);
        record.raw("userIdentity", self.user_identity_json);
        let time = record.value("eventTime");
        time.push('"');
        write_iso(time, self.time);
        time.push('"');
        record.text("eventSource", self.source);
        record.text("eventName", self.name);
        record.text("awsRegion", self.region);
        record.text("sourceIPAddress", self.source_ip);
        record.text("userAgent", self.user_agent);
        if let Some((code, message)) = self.error {
            record.text("errorCode", code);
            record.text("errorMessage", message);
        }
        record.raw("requestParameters", self.request_json);
        record.raw("responseElements", self.response_json);
        if !self.additional_json.is_empty() {
            record.raw("additionalEventData", self.additional_json);
        }
    }

    fn write_tail(&self, record: &mut Object<'_>) {
        if let Some(id) = self.request_id {
            write_id(record, "requestID", id);
        }
        write_id(record, "eventID", self.event_id);
        record.flag("readOnly", self.read_only);
        if !self.resources_json.is_empty() {
            record.raw("resources", self.resources_json);
        }
        let is_call = self.service_details_json.is_empty();
        record.text("eventType", if is_call { "AwsApiCall" } else { "AwsServiceEvent" });
        record.flag("managementEvent", !self.data_event);
        record.text("recipientAccountId", self.account);
        if let Some(id) = self.shared_event_id {
            write_id(record, "sharedEventID", id);
        }
        if !is_call {
            record.raw("serviceEventDetails", self.service_details_json);
        }
        if !self.vpc_endpoint.is_empty() {
            record.text("vpcEndpointId", self.vpc_endpoint);
            record.text("vpcEndpointAccountId", self.account);
        }
        record.text("eventCategory", if self.data_event { "Data" } else { "Management" });
        if !self.host.is_empty() {
            self.write_tls(record);
        }
        if self.from_console {
            // CloudTrail writes this flag as a string.
            record.text("sessionCredentialFromConsole", "true");
        }
    }

    fn write_tls(&self, record: &mut Object<'_>) {
        let domain = if self.source == MANTLE { "api.aws" } else { "amazonaws.com" };
        record.object("tlsDetails", |tls| {
            tls.text("tlsVersion", "TLSv1.3");
            tls.text("cipherSuite", "TLS_AES_128_GCM_SHA256");
            let host = tls.value("clientProvidedHostHeader");
            for part in ["\"", self.host, ".", self.region, ".", domain, "\""] {
                host.push_str(part);
            }
        });
    }
}

fn write_id(record: &mut Object<'_>, key: &str, id: Uuid) {
    let out = record.value(key);
    out.push('"');
    id.write(out);
    out.push('"');
}
