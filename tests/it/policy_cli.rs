//! `geophone policy` and what `check` says about policy files, as a user meets them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::program::run;

const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
  {"Sid": "Claude", "Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": "arn:aws:bedrock:*::foundation-model/anthropic.claude-*",
   "Condition": {"StringEquals": {"aws:PrincipalTag/dept": ["legal", "compliance"]}}},
  {"Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": "arn:aws:bedrock:*::foundation-model/amazon.nova-*",
   "Condition": {"StringEquals": {"aws:PrincipalTag/dept": "marketing"}}}]}"#;
const CLAUDE: &str = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn eval_names_the_statement_that_decided() {
    let files = folder(&[("p.json", POLICY), ("odd.json", &POLICY.replace("StringEquals", "StringEqualz"))]);
    let eval = |policy: &str, context: &[&str]| {
        let policy = text(&files.path().join(policy));
        let mut args = vec!["policy", "eval", "--policy", &policy, "--action", "bedrock:InvokeModel", "--resource", CLAUDE];
        context.iter().for_each(|pair| args.extend(["--context", pair]));
        run(&args).expect(0)
    };
    let allowed = eval("p.json", &["aws:PrincipalTag/dept=legal"]).stdout;
    assert!(allowed.starts_with("Allow by ") && allowed.contains("p.json#Claude"), "{allowed}");
    assert!(eval("p.json", &["aws:PrincipalTag/dept=Legal"]).stdout.starts_with("ImplicitDeny: no identity-based policy allows"));
    assert!(eval("p.json", &[]).stdout.starts_with("ImplicitDeny"));
    let unknown = eval("odd.json", &["aws:PrincipalTag/dept=legal"]);
    assert!(unknown.stdout.starts_with("Unknown: "), "{}", unknown.stdout);
    assert!(
        unknown.stderr.contains("odd.json:3: unknown condition operator \"StringEqualz\"; did you mean StringEquals?"),
        "{}",
        unknown.stderr
    );
    let missing = text(&files.path().join("nowhere.json"));
    run(&["policy", "eval", "--policy", &missing, "--action", "a:b", "--resource", "*"])
        .expect(66)
        .says(&["nowhere.json", "name an existing file"]);
}

#[test]
fn a_table_of_cases_fails_by_name() {
    let case = |name: &str, expect: &str| {
        format!(
            r#"{{"name":"{name}","policies":[{POLICY}],"action":"bedrock:InvokeModel","resource":"{CLAUDE}","ctx":{{"aws:PrincipalTag/dept":"legal"}},"expect":"{expect}"}}"#
        )
    };
    let files = folder(&[
        ("good.json", &format!("[{}]", case("right", "Allow"))),
        ("bad.json", &format!("[{},{},{}]", case("right too", "Allow"), case("wrong", "ExplicitDeny"), case("odd", "Perhaps"))),
        ("broken.json", "[{]"),
    ]);
    let test = |name: &str| run(&["policy", "test", &text(&files.path().join(name))]);
    assert_eq!(test("good.json").expect(0).stdout, "1 of 1 cases agree\n");
    let told = test("bad.json").expect(1).stdout;
    assert!(told.contains("wrong: expected ExplicitDeny, got Allow by policy 1#Claude") && told.contains("expects \"Perhaps\""), "{told}");
    assert!(told.ends_with("1 of 3 cases agree\n"), "{told}");
    test("broken.json").expect(65).says(&["broken.json", "give a list of cases"]);
}

#[test]
fn the_matrix_shows_each_department_beside_each_family() {
    let files = folder(&[("p.json", POLICY), ("geophone.toml", "[policy]\ndocuments = [\"p.json\"]\n"), ("none.toml", "")]);
    let config = text(&files.path().join("geophone.toml"));
    let table = run(&["policy", "matrix", "--config", &config]).expect(0).stdout;
    let row =
        |department: &str| table.lines().find(|line| line.starts_with(department)).map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(row("department"), Some(vec!["department", "amazon.nova", "anthropic.claude"]), "{table}");
    assert_eq!(row("legal"), Some(vec!["legal", "implicit-deny", "allow"]), "{table}");
    assert_eq!(row("marketing"), Some(vec!["marketing", "allow", "implicit-deny"]), "{table}");
    let lines = run(&["policy", "matrix", "--config", &config, "--format", "ndjson"]).expect(0).stdout;
    let cells: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(
        cells
            .iter()
            .any(|cell| cell["department"] == "compliance" && cell["family"] == "anthropic.claude" && cell["reason"] == "p.json#Claude")
    );
    run(&["policy", "matrix", "--config", &text(&files.path().join("none.toml"))])
        .expect(78)
        .says(&["neither [policy] documents nor [departments]"]);
}

#[test]
fn check_names_file_and_line_of_what_is_wrong_in_a_policy() {
    let check = |config: &str, policy: &str| {
        let files = folder(&[("geophone.toml", config), ("p.json", policy)]);
        run(&["check", "--config", &text(&files.path().join("geophone.toml"))])
    };
    const CONFIG: &str = "[policy]\ndocuments = [\"p.json\"]\n";
    assert!(!check(CONFIG, POLICY).expect(0).stdout.contains("warning"));
    let warned = check(CONFIG, &POLICY.replace("\"Effect\": \"Allow\", \"Action\"", "\"Effect\": \"allow\", \"Action\"")).expect(0).stdout;
    assert!(warned.contains("warning: p.json:2: an Effect that is neither Allow nor Deny"), "{warned}");
    check(CONFIG, "{\n\"Version\": \"2012-10-17\",\n}").expect(78).says(&["p.json: line 2", "is no JSON"]);
    check("[policy]\ndocuments = [\"q*.json\"]\n", POLICY).expect(78).says(&["q*.json", "no such file"]);
    // Two broken files are two lines of one answer.
    let both = "[policy]\ndocuments = [\"q.json\"]\n[identity]\ndirectory = \"nobody.csv\"\n";
    check(both, POLICY).expect(78).says(&["q.json", "nobody.csv"]);
}
