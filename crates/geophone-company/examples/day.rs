//! Prints one day as NDJSON in the order of its arrival, with an attack in it if one is named:
//! `cargo run -p geophone-company --example day -- 3 llm-jacking`

use std::io::{self, Write as _};

use geophone_company::{Attack, Company, CompanySettings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let day: u32 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let mut company = Company::new(CompanySettings::default());
    let mut events = company.day(day);
    if let Some(name) = arguments.next() {
        let late_morning = company.settings().first_day + i64::from(day) * 86_400 + 11 * 3_600;
        events.extend(company.attack(name.parse::<Attack>()?, late_morning));
    }
    events.sort_by_key(|event| event.arrival);
    let mut out = io::stdout().lock();
    for event in events {
        writeln!(out, "{}", event.json)?;
    }
    Ok(())
}
