//! Amazon Resource Names, read without judging them: `arn:partition:service:region:account:resource`.

/// The six segments of an ARN, borrowed. The resource keeps its own colons and slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-us-gov`, `aws-cn`.
    pub partition: &'a str,
    /// `bedrock`, `iam`, `sts`, ….
    pub service: &'a str,
    /// Empty for global services, and for `global.` inference profiles.
    pub region: &'a str,
    /// Empty for AWS's own resources such as foundation models.
    pub account: &'a str,
    /// Everything behind the fifth colon.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits `text` where it has the shape of an ARN. Regions and accounts are not checked: anonymised records hold
    /// invented ones, and a check would lose the event.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        let arn = Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        (!arn.resource.is_empty()).then_some(arn)
    }

    /// The name of an IAM role: `role/path/NAME` or `assumed-role/NAME/session`.
    pub fn role_name(&self) -> Option<&'a str> {
        if let Some(path) = self.resource.strip_prefix("role/") {
            return path.rsplit('/').next();
        }
        self.resource.strip_prefix("assumed-role/")?.split('/').next()
    }
}

/// The session's name in the ARN of an assumed role: what stands behind the role's.
pub fn session_name(arn: &str) -> Option<&str> {
    arn.split_once(":assumed-role/")?.1.split_once('/').map(|(_, name)| name)
}

/// The partition that a region belongs to.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else if region.starts_with("cn-") {
        "aws-cn"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_colons_of_the_resource() {
        let arn = Arn::parse("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0").expect("an ARN");
        assert_eq!((arn.region, arn.account, arn.resource), ("us-east-1", "", "foundation-model/anthropic.claude-3-sonnet-20240229-v1:0"));
    }

    #[test]
    fn names_roles_with_and_without_path() {
        let name = |text| Arn::parse(text).and_then(|arn| arn.role_name());
        assert_eq!(name("arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/DevAdmin"), Some("DevAdmin"));
        assert_eq!(name("arn:aws:sts::1:assumed-role/DevAdmin/dr.evil"), Some("DevAdmin"));
        assert_eq!(name("arn:aws:iam::1:user/u"), None);
        assert_eq!(name("not an arn"), None);
    }
}
