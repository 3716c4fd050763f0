//! What the company owns in AWS: account, region, pools, endpoint, roles.

use crate::random::{Purpose, Random};

/// Mail domain of everybody.
pub(crate) const DOMAIN: &str = "example.com";

/// The account and the things in it that every record refers to.
#[derive(Clone, Debug)]
pub(crate) struct Estate {
    pub(crate) seed: u64,
    pub(crate) account: String,
    pub(crate) region: String,
    /// The interface endpoint through which all honest model calls go.
    pub(crate) vpc_endpoint: String,
    pub(crate) identity_pool: String,
    pub(crate) user_pool: String,
    pub(crate) identity_store: String,
    pub(crate) guardrail: String,
}

/// An IAM role.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// With the path, as `sessionIssuer.arn` and `roleArn` have it.
    pub(crate) arn: String,
    pub(crate) unique_id: String,
}

impl Estate {
    pub(crate) fn new(seed: u64, account: &str, region: &str) -> Self {
        let mut random = Random::stream(seed, Purpose::Estate, &[]);
        Self {
            seed,
            account: account.to_owned(),
            region: region.to_owned(),
            vpc_endpoint: format!("vpce-0{}", random.hex(16)),
            identity_pool: format!("{region}:{}", random.uuid()),
            user_pool: format!("{region}_{}", random.lower(9)),
            identity_store: format!("d-{}", random.hex(10)),
            guardrail: random.lower(12),
        }
    }

    /// A role with a unique id that follows from its name.
    pub(crate) fn role(&self, path: &str, name: &str) -> Role {
        let named: Vec<u64> = name.bytes().map(u64::from).collect();
        let unique_id = Random::stream(self.seed, Purpose::Estate, &named).unique_id("AROA");
        let arn = format!("arn:aws:iam::{}:role/{path}{name}", self.account);
        Role { name: name.to_owned(), arn, unique_id }
    }

    /// A role that Identity Center makes for a permission set.
    pub(crate) fn permission_set(&self, name: &str) -> Role {
        let named: Vec<u64> = name.bytes().map(u64::from).collect();
        let suffix = Random::stream(self.seed, Purpose::Estate, &named).hex(16);
        let path = format!("aws-reserved/sso.amazonaws.com/{}/", self.region);
        self.role(&path, &format!("AWSReservedSSO_{name}_{suffix}"))
    }

    /// Prefix of the inference profiles of this part of the world.
    pub(crate) fn geography(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("eu") => "eu",
            Some("ap") => "apac",
            _ => "us",
        }
    }

    /// Where the geography's profiles may send a call.
    pub(crate) fn destinations(&self) -> &'static [&'static str] {
        match self.geography() {
            "eu" => &["eu-west-1", "eu-central-1", "eu-north-1"],
            "apac" => &["ap-southeast-2", "ap-northeast-1", "ap-south-1"],
            _ => &["us-east-1", "us-east-2", "us-west-2"],
        }
    }
}
