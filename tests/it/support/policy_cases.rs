//! Random IAM policies with requests that come close to them, for the differential test of the policy evaluator.
//!
//! Pieces of a statement are drawn from the request and then changed a little, so that verdicts turn on one character, one
//! wildcard or one missing key. What AWS does not document, and what the other simulator is known to judge otherwise than
//! AWS documents it, is not drawn (see `resource_pattern`, `template` and `condition`): a list by hand is for that.
//!
//! **Invariant:** the same seed gives the same cases.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A request with the policies that apply to it.
pub struct Case {
    /// Which one it is, from 0.
    pub id: u64,
    /// Identity policies.
    pub policies: Vec<Value>,
    /// Permissions boundaries: none or one.
    pub boundaries: Vec<Value>,
    /// Service control policies: none or one.
    pub scps: Vec<Value>,
    /// `service:Action`.
    pub action: String,
    /// The ARN, or `*` for an action without resources.
    pub resource: String,
    /// The request context: one value for most keys.
    pub ctx: BTreeMap<String, Vec<String>>,
}

impl Case {
    /// The line that `tests/differential/simulate.mjs` reads. A key without values is left out.
    pub fn to_json(&self) -> Value {
        let ctx: Map<String, Value> = (self.ctx.iter().filter(|(_, values)| !values.is_empty()))
            .map(|(key, values)| (key.clone(), if let [one] = values.as_slice() { json!(one) } else { json!(values) }))
            .collect();
        json!({"id": self.id, "policies": self.policies, "boundaries": self.boundaries, "scps": self.scps,
            "action": self.action, "resource": self.resource, "ctx": ctx})
    }
}

/// Makes `count` cases.
pub fn generate(seed: u64, count: usize) -> Vec<Case> {
    (0..).take(count).map(|id| Maker::new(Dice(seed ^ Dice(id).next())).case(id)).collect()
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Arn,
    Flag,
    Number,
    Time,
    Epoch,
    Ip,
    List,
}

/// What may stand in a text of a policy: wildcards, variables, and variables that the request has no value for.
#[derive(Clone, Copy)]
struct Slot {
    wild: bool,
    variables: bool,
    missing: bool,
}

const ACCOUNT: &str = "111122223333";
const NAMES: &[&str] = &["legal", "compliance", "research"];
const ODD: &[&str] =
    &["Legal", "leg*", "*", "l?gal", "${aws:username}", "human resources", "größe-ä", "法務", "a$b", "eu/legal:1", "x=y+z@w.", "legal "];
const MODELS: &[&str] = &["anthropic.claude-3-sonnet-20240229-v1:0", "amazon.nova-pro-v1:0", "meta.llama3-70b-instruct-v1:0"];
const REGIONS: &[&str] = &["us-east-1", "us-west-2", "eu-central-1"];
const INVOKE: &[&str] = &["InvokeModel", "InvokeModelWithResponseStream"];

/// Actions with a resource that fits: `{r}` region, `{m}` model, `{d}` department; the account is put in where `{a}` is.
const FAMILIES: &[(&[&str], &str)] = &[
    (INVOKE, "arn:aws:bedrock:{r}::foundation-model/{m}"),
    (INVOKE, "arn:aws:bedrock:{r}:{a}:inference-profile/us.{m}"),
    (INVOKE, "arn:aws:bedrock:{r}:{a}:application-inference-profile/{d}"),
    (INVOKE, "arn:aws:bedrock:{r}:{a}:provisioned-model/{d}-1"),
    (&["GetFoundationModel"], "arn:aws:bedrock:{r}::foundation-model/{m}"),
    (&["Retrieve", "GetKnowledgeBase", "TagResource"], "arn:aws:bedrock:{r}:{a}:knowledge-base/KB-{d}"),
    (&["InvokeAgent"], "arn:aws:bedrock:{r}:{a}:agent-alias/AGENT12345/{d}"),
    (&["ApplyGuardrail", "GetGuardrail"], "arn:aws:bedrock:{r}:{a}:guardrail/{d}"),
    (&["InvokeFlow"], "arn:aws:bedrock:{r}:{a}:flow/{d}/alias/TSTALIASID"),
    (&["ListFoundationModels", "RetrieveAndGenerate", "Rerank", "CallWithBearerToken"], "*"),
];

/// Keys by what their values are. The simulator refuses those of Bedrock with actions other than [`INVOKE`].
const KEYS: &[(Kind, &str)] = &[
    (Kind::Text, "aws:PrincipalTag/dept aws:PrincipalTag/clearance aws:PrincipalTag/cost-center aws:ResourceTag/dept aws:SourceVpce"),
    (Kind::Text, "aws:RequestTag/dept aws:ResourceTag/stage aws:RequestedRegion aws:username aws:SourceIdentity aws:PrincipalAccount"),
    (Kind::Text, "aws:PrincipalOrgID bedrock:ServiceTier"),
    (Kind::Arn, "aws:PrincipalArn aws:SourceArn bedrock:InferenceProfileArn bedrock:GuardrailIdentifier"),
    (Kind::Flag, "aws:MultiFactorAuthPresent aws:SecureTransport aws:ViaAWSService"),
    (Kind::Number, "aws:MultiFactorAuthAge"),
    (Kind::Time, "aws:CurrentTime aws:TokenIssueTime"),
    (Kind::Epoch, "aws:EpochTime"),
    (Kind::Ip, "aws:SourceIp aws:VpcSourceIp"),
    (Kind::List, "aws:TagKeys aws:CalledVia aws:PrincipalOrgPaths"),
];

fn keys() -> impl Iterator<Item = (&'static str, Kind)> {
    KEYS.iter().flat_map(|(kind, names)| names.split(' ').map(|name| (name, *kind)))
}

/// Ways to write the same moment, earliest moment first.
const MOMENTS: &[&[&str]] = &[
    &["2023-12-31T23:59:59Z", "2024-01-01T01:59:59+02:00"],
    &["2024-01-01T00:00:00Z", "2024-01-01", "2023-12-31T19:00:00-05:00", "2024-01-01T00:00:00.000Z", "2024-01-01T00:00Z", "2024-01"],
    &["2024-06-15T12:30:00Z", "2024-06-15T14:30:00+02:00", "2024-06-15T12:30Z"],
    &["2024-06-15T12:30:00.500Z", "2024-06-15T14:30:00.5+02:00"],
];
const EPOCHS: &[&str] = &["1704067199", "1704067200", "1718454600", "1740729600"];
const ADDRESSES: &[&str] = &["203.0.113.77", "203.0.113.78", "10.1.2.3", "192.0.2.1", "2001:db8::1", "2001:db8:1234:5678::9"];
const V4_RANGES: &[&str] = &["203.0.113.0/24", "203.0.113.77/24", "203.0.113.76/31", "10.0.0.0/8", "192.0.2.1/32", "128.0.0.0/1"];
const V6_RANGES: &[&str] = &["2001:DB8::/32", "2001:db8:1234:5678::/64", "2001:db8::1/128", "::/0", "fd00::/7"];

/// Makes one case.
struct Maker {
    dice: Dice,
    action: &'static str,
    resource: String,
    ctx: BTreeMap<String, Vec<String>>,
}

impl Maker {
    fn new(mut dice: Dice) -> Self {
        let (actions, shape) = dice.pick(FAMILIES);
        let (action, region, department) = (dice.pick(actions), dice.pick(REGIONS), dice.pick(NAMES));
        let resource = shape.replace("{r}", region).replace("{a}", ACCOUNT).replace("{m}", dice.pick(MODELS)).replace("{d}", department);
        let mut maker = Self { dice, action, resource, ctx: BTreeMap::new() };
        for (key, kind) in keys() {
            let wanted = if key == "aws:PrincipalArn" { 100 } else { 50 };
            if maker.dice.chance(wanted) && (!key.starts_with("bedrock:") || INVOKE.contains(&action)) {
                let values = maker.values(key, kind, region, department);
                let key = if maker.dice.chance(10) { key.to_lowercase() } else { key.to_owned() };
                maker.ctx.insert(key, values);
            }
        }
        maker
    }

    /// What a key has in the request.
    fn values(&mut self, key: &str, kind: Kind, region: &str, department: &str) -> Vec<String> {
        let dice = &mut self.dice;
        let one = match (kind, key) {
            (Kind::List, _) => return (0..=dice.below(3)).map(|_| self.word()).collect(),
            (Kind::Text, "aws:RequestedRegion") => region.to_owned(),
            (Kind::Text, "aws:PrincipalAccount") => ACCOUNT.to_owned(),
            (Kind::Text, _) if key.ends_with("/dept") && dice.chance(60) => department.to_owned(),
            (Kind::Text, _) => self.word(),
            (Kind::Arn, "aws:PrincipalArn") => format!("arn:aws:iam::{ACCOUNT}:role/bedrock-perimeter-legal"),
            (Kind::Arn, "bedrock:GuardrailIdentifier") => format!("arn:aws:bedrock:{region}:{ACCOUNT}:guardrail/{department}:1"),
            (Kind::Arn, _) => format!("arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/us.{}", dice.pick(MODELS)),
            (Kind::Flag, _) => dice.pick(&["true", "false"]).to_owned(),
            (Kind::Number, _) => dice.pick(&["0", "59", "60", "60.5", "3600", "-1"]).to_owned(),
            (Kind::Time, _) => dice.pick(MOMENTS)[0].to_owned(),
            (Kind::Epoch, _) => dice.pick(EPOCHS).to_owned(),
            (Kind::Ip, _) => dice.pick(ADDRESSES).to_owned(),
        };
        vec![one]
    }

    fn word(&mut self) -> String {
        let from = if self.dice.chance(65) { NAMES } else { ODD };
        self.dice.pick(from).to_owned()
    }

    fn case(mut self, id: u64) -> Case {
        let policies = (0..=usize::from(self.dice.chance(35))).map(|_| self.policy(false)).collect();
        let boundaries = if self.dice.chance(15) { vec![self.policy(true)] } else { Vec::new() };
        let scps = if self.dice.chance(15) { vec![self.policy(true)] } else { Vec::new() };
        Case { id, policies, boundaries, scps, action: format!("bedrock:{}", self.action), resource: self.resource, ctx: self.ctx }
    }

    fn policy(&mut self, is_limit: bool) -> Value {
        let version = if self.dice.chance(90) { "2012-10-17" } else { self.dice.pick(&["2008-10-17", ""]) };
        let mut statements: Vec<Value> = (0..self.dice.pick(&[1, 1, 1, 2, 3])).map(|_| self.statement(version == "2012-10-17")).collect();
        if is_limit && self.dice.chance(60) {
            statements.push(json!({"Effect": "Allow", "Action": self.dice.pick(&["*", "bedrock:*"]), "Resource": "*"}));
        }
        let single = statements.len() == 1 && self.dice.chance(50);
        let statement = if single { statements.remove(0) } else { json!(statements) };
        if version.is_empty() { json!({"Statement": statement}) } else { json!({"Version": version, "Statement": statement}) }
    }

    fn statement(&mut self, variables: bool) -> Value {
        let mut statement = Map::new();
        let mut put = |name: &str, value: Value| statement.insert(name.to_owned(), value);
        let is_deny = self.dice.chance(22);
        put("Effect", json!(if is_deny { "Deny" } else { "Allow" }));
        if self.dice.chance(10) {
            put("NotAction", self.listed(|maker| maker.action_pattern(20)));
        } else {
            put("Action", self.listed(|maker| maker.action_pattern(100)));
        }
        if self.dice.chance(10) {
            let slot = Slot { wild: true, variables, missing: false };
            put("NotResource", self.listed(|maker| maker.resource_pattern(slot, 30)));
        } else {
            let slot = Slot { wild: true, variables, missing: true };
            put("Resource", self.listed(|maker| maker.resource_pattern(slot, 100)));
        }
        let conditions = self.dice.pick(if is_deny { &[0, 1, 1, 2] } else { &[0, 0, 1, 1, 1, 2] });
        if conditions > 0 || self.dice.chance(10) {
            put("Condition", self.conditions(conditions, variables));
        }
        Value::Object(statement)
    }

    /// One text, or a list.
    fn listed(&mut self, mut make: impl FnMut(&mut Self) -> String) -> Value {
        let texts: Vec<String> = (0..self.dice.pick(&[1, 1, 1, 2, 3])).map(|_| make(self)).collect();
        if texts.len() == 1 && self.dice.chance(60) { json!(texts[0]) } else { json!(texts) }
    }

    fn action_pattern(&mut self, near: usize) -> String {
        let (action, dice) = (self.action, &mut self.dice);
        if !dice.chance(near) {
            return dice.pick(&["s3:*", "bedrock:Delete*", "bedrock:Create?odel", "iam:PassRole", "bedrock-agentcore:*"]).to_owned();
        }
        let half = 1 + dice.below(action.len() - 1);
        match dice.below(12) {
            0..=3 => format!("bedrock:{action}"),
            4 | 5 => dice.pick(&["*", "bedrock:*"]).to_owned(),
            6 => format!("bedrock:{}*", &action[..half]),
            7 => format!("Bedrock:*{}", action[half..].to_uppercase()),
            8 | 9 => format!("bedrock:{}{}{}", &action[..half - 1], dice.pick(&["?", "x"]), &action[half..]),
            10 => format!("bedrock:{}*{}", &action[..half - 1], action[half..].to_lowercase()),
            _ => format!("bedrock:{}", dice.pick(&["InvokeModel*", "Get*", "Retrieve", "*Model", "Invoke?", "List*"])),
        }
    }

    /// An ARN near the one of the request. Case is changed and variables are put in behind the type of the resource only,
    /// the type has wildcards only where no `/` and no `:` follows, and a short ARN is for `Resource` alone.
    fn resource_pattern(&mut self, slot: Slot, near: usize) -> String {
        if !self.dice.chance(near) {
            let (kind, name) = (self.dice.pick(&["guardrail", "flow", "custom-model", "prompt"]), self.dice.pick(NAMES));
            return format!("arn:aws:bedrock:*:{ACCOUNT}:{kind}/{name}*");
        }
        if self.resource == "*" || self.dice.chance(12) {
            let wide = ["*", "*", "*", "arn:aws:bedrock:*:*:*", "arn:aws:bedrock:*", "arn:aws:bedrock", "arn:aws:s3:*"];
            return self.dice.pick(&wide[..if slot.missing { 7 } else { 4 }]).to_owned();
        }
        let arn = self.resource.clone();
        let (head, tail) = self.head(&arn, false);
        let (kind, name) = tail.split_once('/').expect("every resource has a type");
        if self.dice.chance(8) {
            return format!("{head}{}*", &kind[..self.dice.below(kind.len() + 1)]);
        }
        format!("{head}{kind}/{}", self.template(name, slot))
    }

    /// The five first parts of an ARN with wildcards and changes, and the rest as it is.
    fn head<'a>(&mut self, arn: &'a str, any_service: bool) -> (String, &'a str) {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let service = if any_service && self.dice.chance(5) { "*" } else { parts[2] };
        let [region, account] = [parts[3], parts[4]].map(|part| match self.dice.below(20) {
            0..=4 => "*".to_owned(),
            5 if part.len() > 3 => format!("{}*", &part[..3]),
            6 if part.len() > 3 => format!("{}?{}", &part[..2], &part[3..]),
            7 if part.len() > 3 => format!("{}9", &part[..part.len() - 1]),
            _ => part.to_owned(),
        });
        (format!("arn:aws:{service}:{region}:{account}:"), parts[5])
    }

    /// `text` as a policy may write it. Variables without a value are for slots with `missing`; `${*}` and the like are for
    /// slots with wildcards, and a text that has `${` itself and cannot be written so is made another one.
    fn template(&mut self, text: &str, slot: Slot) -> String {
        if slot.variables && self.dice.chance(25) {
            return self.with_variable(text, slot);
        }
        let chars: Vec<char> = text.chars().collect();
        let from = self.dice.below(chars.len());
        let to = (from + 1 + self.dice.below(4)).min(chars.len());
        let (before, at, after) = (&chars[..from], &chars[from..to], &chars[to..]);
        let dice = &mut self.dice;
        let middle = match dice.below(20) {
            0..=3 if slot.wild => "*".to_owned(),
            4 if slot.wild => "?".repeat(at.len()),
            5 if slot.wild => format!("{}*", literal(at, text, slot)),
            6 => "x".to_owned(),
            7 => flipped(&literal(at, text, slot)),
            8 => return dice.pick(NAMES).to_owned(),
            _ => literal(at, text, slot),
        };
        format!("{}{middle}{}", literal(before, text, slot), literal(after, text, slot))
    }

    /// `text` with a part of it as a variable: one that has this value, one that has another, one that has none.
    fn with_variable(&mut self, text: &str, slot: Slot) -> String {
        let single: Vec<(String, String)> =
            (self.ctx.iter().filter(|(key, _)| !keys().any(|(name, kind)| kind == Kind::List && name.eq_ignore_ascii_case(key))))
                .map(|(key, values)| (key.clone(), values[0].clone()))
                .collect();
        let fitting: Vec<&(String, String)> = single.iter().filter(|(_, value)| text.contains(value.as_str())).collect();
        if !fitting.is_empty() && self.dice.chance(70) {
            let (key, value) = fitting[self.dice.below(fitting.len())];
            let (before, after) = text.split_once(value.as_str()).expect("it is in there");
            let key = if self.dice.chance(20) { key.to_uppercase() } else { key.clone() };
            let default = if self.dice.chance(25) { ", 'nobody'" } else { "" };
            let [before, after] = [before, after].map(|part| literal(&part.chars().collect::<Vec<_>>(), text, slot));
            return format!("{before}${{{key}{default}}}{after}");
        }
        let absent = "aws:PrincipalTag/absent";
        if slot.missing && self.dice.chance(25) {
            return format!("${{{absent}}}");
        }
        if single.is_empty() || self.dice.chance(60) {
            let cut = text.find(|c: char| !c.is_alphanumeric() && !" -.:*".contains(c)).unwrap_or(text.len());
            let default = if cut == 0 { "nobody" } else { &text[..cut] };
            let after: Vec<char> = text[cut..].chars().collect();
            return format!("${{{absent}, '{default}'}}{}", literal(&after, text, slot));
        }
        format!("${{{}}}", single[self.dice.below(single.len())].0)
    }

    fn conditions(&mut self, count: usize, variables: bool) -> Value {
        let mut block: Map<String, Value> = Map::new();
        for _ in 0..count {
            let (operator, key, value) = self.condition(variables);
            let lines = block.entry(operator).or_insert_with(|| json!({})).as_object_mut().expect("made as one");
            if !lines.keys().any(|other| other.eq_ignore_ascii_case(&key)) {
                lines.insert(key, value);
            }
        }
        Value::Object(block)
    }

    /// An operator, a key and values. Keys with several values get a set operator (or `Null`) and are no variables;
    /// `ForAnyValue:` has no `IfExists`; negated operators have no variables without a value; times are not compared
    /// with seconds since 1970; a bare address is not excluded from the other family.
    fn condition(&mut self, variables: bool) -> (String, String, Value) {
        let known = self.dice.chance(75);
        let held = |name: &str| self.ctx.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, values)| values.clone());
        let choice: Vec<(&str, Kind)> = keys().filter(|(name, _)| !known || held(name).is_some()).collect();
        let (name, kind) = choice[Dice(self.dice.next()).below(choice.len())];
        let held = held(name).unwrap_or_default();
        let key = if self.dice.chance(20) { flipped(name) } else { name.to_owned() };
        if self.dice.chance(8) {
            let value = self.dice.pick(&["true", "false"]);
            return ("Null".to_owned(), key, if self.dice.chance(50) { json!(value == "true") } else { json!(value) });
        }
        let base = self.operator(kind);
        let negated = base.contains("Not");
        let mut operator = base.clone();
        if kind == Kind::List || self.dice.chance(6) {
            operator.insert_str(0, self.dice.pick(&["ForAnyValue:", "ForAllValues:"]));
        }
        if !operator.starts_with("ForAny") && self.dice.chance(20) {
            operator.push_str("IfExists");
        }
        let slot = Slot { wild: base.contains("Like") || base.starts_with("Arn"), variables, missing: !negated };
        let count = 1 + self.dice.below(3).saturating_sub(usize::from(self.dice.chance(60)));
        let values: Vec<Value> = (0..count).map(|_| self.value(kind, &held, &base, slot)).collect();
        let value = if count == 1 && self.dice.chance(60) { values[0].clone() } else { json!(values) };
        (operator, key, value)
    }

    fn operator(&mut self, kind: Kind) -> String {
        const TEXT: &[&str] = &["Equals", "Equals", "Like", "Like", "EqualsIgnoreCase", "NotEquals", "NotLike", "NotEqualsIgnoreCase"];
        const ORDER: &[&str] = &["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"];
        let dice = &mut self.dice;
        match kind {
            Kind::Text | Kind::List => format!("String{}", dice.pick(TEXT)),
            Kind::Arn => dice.pick(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringLike", "StringNotEquals"]).to_owned(),
            Kind::Flag => dice.pick(&["Bool", "Bool", "Bool", "StringEquals"]).to_owned(),
            Kind::Number => format!("Numeric{}", dice.pick(ORDER)),
            Kind::Time => format!("Date{}", dice.pick(ORDER)),
            Kind::Epoch => format!("{}{}", dice.pick(&["Date", "Numeric"]), dice.pick(ORDER)),
            Kind::Ip => dice.pick(&["IpAddress", "IpAddress", "NotIpAddress"]).to_owned(),
        }
    }

    /// A value near one that the request has for the key.
    fn value(&mut self, kind: Kind, held: &[String], base: &str, slot: Slot) -> Value {
        let own = if held.is_empty() { self.word() } else { held[self.dice.below(held.len())].clone() };
        let same = self.dice.chance(55) && !held.is_empty();
        let dice = &mut self.dice;
        match kind {
            Kind::Text | Kind::List => json!(self.template(&own, slot)),
            Kind::Arn => {
                let arn = if held.is_empty() { format!("arn:aws:bedrock::{ACCOUNT}:guardrail/legal:1") } else { own };
                let (head, tail) = self.head(&arn, base.starts_with("Arn"));
                let slot = Slot { wild: true, ..slot };
                if base == "StringNotEquals" { json!(arn) } else { json!(format!("{head}{}", self.template(tail, slot))) }
            }
            Kind::Flag if base == "Bool" && dice.chance(30) => json!(dice.chance(50)),
            Kind::Flag => json!(dice.pick(if base == "Bool" { &["true", "false", "True", "FALSE"] } else { &["true", "false"] })),
            Kind::Number if same && dice.chance(50) => serde_json::from_str(&own).expect("a number"),
            Kind::Number if same => json!(own),
            Kind::Number => json!(dice.pick(&["0", "59.5", "60", "60.0", "61", "3600", "86400", "-1", "-2"])),
            Kind::Time => {
                let group = MOMENTS.iter().find(|group| same && group[0] == own).copied();
                let group = group.unwrap_or_else(|| dice.pick(MOMENTS));
                json!(dice.pick(group))
            }
            Kind::Epoch => json!(if same { own } else { dice.pick(EPOCHS).to_owned() }),
            Kind::Ip if same && dice.chance(40) => json!(own),
            Kind::Ip if base == "IpAddress" && dice.chance(15) => json!(dice.pick(ADDRESSES)),
            Kind::Ip => {
                let v6 = own.contains("::") != dice.chance(15);
                json!(dice.pick(if v6 { V6_RANGES } else { V4_RANGES }))
            }
        }
    }
}

/// With the other case.
fn flipped(text: &str) -> String {
    text.chars().map(|c| if c.is_lowercase() { c.to_uppercase().to_string() } else { c.to_lowercase().to_string() }).collect()
}

/// Characters of `whole` so that a policy means just them, as far as the slot lets it.
fn literal(part: &[char], whole: &str, slot: Slot) -> String {
    let write = |c: &char| match c {
        '*' | '?' | '$' if slot.wild && slot.variables => format!("${{{c}}}"),
        '$' if whole.contains("${") => "#".to_owned(),
        _ => c.to_string(),
    };
    part.iter().map(write).collect()
}
