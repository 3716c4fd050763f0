//! What is true about a call, and by which ways people come to their credentials.

use super::staff::{Staff, Worker};
use crate::clock::HOUR;
use crate::random::Random;

/// Everything that a consumer may say about a caller.
///
/// It is what follows from the records that are in the stream and from the directory, and as much as follows from them:
///
/// * The *person* is the e-mail address that the directory has for whom an identity provider or `sourceIdentity` names;
///   for somebody who is not in the directory, the name as the record shows it (identity id, user-pool subject, e-mail).
///   A session name names nobody, except that of an Identity Center role, which AWS chooses.
/// * The *department* is the `dept` tag of the very session that calls, its key in any case, as the record that issued
///   the access key has it; without a tag, what the directory says about the person. Roles tell nothing.
/// * Where a needed record is lost, both are what the others still prove, which may be nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The person's e-mail address, or the text by which the records name somebody whom the directory does not list.
    pub person: Option<String>,
    /// The department, spelled as the tag or the directory has it.
    pub department: Option<String>,
    /// STS's record of every key on the way to the calling session is in the stream. Where false, a consumer may say
    /// less than the truth.
    pub has_sts_record: bool,
    /// One of [`WAYS`].
    pub way: &'static str,
    /// Those of [`TRAPS`] that the session, or its person, stands in; also where its way makes one harmless.
    pub traps: Vec<&'static str>,
}

/// The ways to credentials, as [`Truth::way`] has them.
pub const WAYS: [&str; 11] = [
    "enhanced-flow",
    "basic-flow",
    "user-pool-oidc",
    "saml",
    "identity-center",
    "chained",
    "assume-role-tags",
    "session-token",
    "federation-token",
    "ec2-instance",
    "lambda-function",
];

/// What is there to mislead a consumer, as [`Truth::traps`] has it.
pub const TRAPS: [&str; 10] = [
    SHARED_ROLE,
    DIRECTORY_DIFFERS,
    NOT_IN_DIRECTORY,
    MOVED,
    TAG_IN_OTHER_CASE,
    NO_DEPARTMENT_TAG,
    TAG_NOT_TRANSITIVE,
    UNICODE_TAG,
    BORROWED_NAME,
    MACHINE_NAME,
];

/// The role bears another department's name.
pub(super) const SHARED_ROLE: &str = "shared-role";
/// The directory has another department than the person's tags; the tag wins.
pub(super) const DIRECTORY_DIFFERS: &str = "directory-differs";
/// The directory does not list the person.
pub(super) const NOT_IN_DIRECTORY: &str = "not-in-directory";
/// The person changes department after the first session of the day.
pub(super) const MOVED: &str = "moved";
/// `Dept`, `DEPT` or the like.
pub(super) const TAG_IN_OTHER_CASE: &str = "tag-in-other-case";
/// A way that usually carries the tag, without it.
pub(super) const NO_DEPARTMENT_TAG: &str = "no-department-tag";
/// An earlier session of the chain has the tag of another department and does not pass it on.
pub(super) const TAG_NOT_TRANSITIVE: &str = "tag-not-transitive";
/// The tag's value is not ASCII.
pub(super) const UNICODE_TAG: &str = "unicode-tag";
/// The session or federated user bears another person's e-mail address.
pub(super) const BORROWED_NAME: &str = "borrowed-session-name";
/// A person's session has a name like an EC2 instance's.
pub(super) const MACHINE_NAME: &str = "machine-session-name";

/// A way in by an identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    EnhancedFlow,
    BasicFlow,
    UserPoolOidc,
    Saml,
    IdentityCenter,
}

/// How a person comes to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct(Door),
    Chained,
    AssumeRoleTags,
    SessionToken,
    FederationToken,
}

/// Percent of the staff by their usual way.
const SHARES: [(Way, usize); 9] = [
    (Way::Direct(Door::EnhancedFlow), 30),
    (Way::Direct(Door::BasicFlow), 9),
    (Way::Direct(Door::UserPoolOidc), 11),
    (Way::Direct(Door::Saml), 12),
    (Way::Direct(Door::IdentityCenter), 12),
    (Way::Chained, 12),
    (Way::AssumeRoleTags, 8),
    (Way::SessionToken, 3),
    (Way::FederationToken, 3),
];

impl Way {
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut left = random.below(100);
        for (way, share) in SHARES {
            if left < share {
                return way;
            }
            left -= share;
        }
        SHARES[0].0
    }

    /// Longest session that AWS gives out this way, as far as it is under four hours.
    pub(super) const fn longest(self) -> i64 {
        match self {
            // Cognito's own credentials, and sessions that are made with a session, end after an hour.
            Self::Direct(Door::EnhancedFlow) | Self::Chained | Self::AssumeRoleTags => HOUR,
            Self::Direct(_) | Self::SessionToken | Self::FederationToken => 4 * HOUR,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Direct(Door::EnhancedFlow) => WAYS[0],
            Self::Direct(Door::BasicFlow) => WAYS[1],
            Self::Direct(Door::UserPoolOidc) => WAYS[2],
            Self::Direct(Door::Saml) => WAYS[3],
            Self::Direct(Door::IdentityCenter) => WAYS[4],
            Self::Chained => WAYS[5],
            Self::AssumeRoleTags => WAYS[6],
            Self::SessionToken => WAYS[7],
            Self::FederationToken => WAYS[8],
        }
    }
}

/// What the records in the stream prove about a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Proof {
    /// The text by which they name a person.
    pub(super) subject: Option<String>,
    /// The calling session's department tag.
    pub(super) tag: Option<String>,
    /// None is lost.
    pub(super) complete: bool,
}

impl Proof {
    /// The truth that follows once the directory is asked.
    pub(super) fn truth(self, staff: &Staff, worker: &Worker, way: Way, traps: Vec<&'static str>) -> Truth {
        let listed = || staff.units[worker.listed_unit].name.to_owned();
        let department = self.tag.or_else(|| (self.subject.is_some() && worker.listed).then(listed));
        let person = self.subject.map(|subject| if worker.listed { worker.email.clone() } else { subject });
        Truth { person, department, has_sts_record: self.complete, way: way.label(), traps }
    }
}
