//! What tokens cost: list prices by model, as data with a date.
//!
//! CloudTrail has tokens and no money. The table that is shipped ([`TABLE`]) has on-demand prices of one region; what a
//! company really pays differs by region, tier, discount and commitment, so a company may give its own.

use super::{Model, Tokens};

/// The table that is shipped. See its head for date, region and sources.
pub const TABLE: &str = include_str!("prices.csv");

/// Most rows of a table.
const ROWS_MAX: usize = 10_000;
/// Highest believable price: a thousand dollars for a thousand tokens.
const PRICE_MAX: f64 = 1_000.0;
/// Micro-dollars in a dollar, tokens of a price.
const MICROS: f64 = 1e6;
const TOKENS: f64 = 1_000.0;

/// Dollars per 1,000 tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Tokens of the prompt.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
    /// Prompt tokens read from the cache.
    pub cache_read: f64,
    /// Prompt tokens written to the cache.
    pub cache_write: f64,
    /// What a call costs that is not of a global inference profile, as a multiple.
    pub regional: f64,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// In millionths of a dollar; at least 1 where there were tokens.
    pub micros: u64,
    /// Whether the model is in the table; else it was taken at the table's `*` row.
    pub is_listed: bool,
}

/// Prices by the beginning of a model id.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceTable {
    /// In order; the longest beginning of an id counts.
    rows: Vec<(String, Price)>,
    /// For models that no row names.
    other: Price,
    /// `# date: 2026-10-01`.
    date: String,
}

/// A mistake in a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}; write model,input,output,cache_read,cache_write,regional in dollars per 1,000 tokens")]
pub struct PriceError {
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Default for PriceTable {
    /// No prices: everything is free.
    fn default() -> Self {
        let free = Price { input: 0.0, output: 0.0, cache_read: 0.0, cache_write: 0.0, regional: 1.0 };
        Self { rows: Vec::new(), other: free, date: String::new() }
    }
}

impl PriceTable {
    /// The table that is shipped.
    pub fn shipped() -> Self {
        // A test reads the shipped table.
        Self::parse(TABLE).unwrap_or_default()
    }

    /// Reads a table: `model,input,output,cache_read,cache_write,regional` a line, a row for `*`, `# date: …` at its head,
    /// `#` before remarks. A model stands for all ids that begin with it. Cache prices may be empty: then a cached token
    /// costs as much as any other of the prompt. `regional` may be empty or left out: then calls cost the same everywhere.
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let mut table = Self::default();
        let mut has_other = false;
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let error = |what: String| PriceError { line: line_number, what };
            let line = line.trim();
            if let Some(date) = line.strip_prefix("# date:") {
                date.trim().clone_into(&mut table.date);
            }
            if line.is_empty() || line.starts_with('#') || line.starts_with("model,") {
                continue;
            }
            let (model, price) = parse_row(line).map_err(error)?;
            if model == "*" {
                (table.other, has_other) = (price, true);
            } else if table.rows.len() < ROWS_MAX {
                table.rows.push((model, price));
            } else {
                return Err(error(format!("more than {ROWS_MAX} rows")));
            }
        }
        if !has_other {
            return Err(PriceError { line: 0, what: "no row for *, the models that no other row names".to_owned() });
        }
        table.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(twice) = table.rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(PriceError { line: 0, what: format!("{} is listed twice", twice[0].0) });
        }
        Ok(table)
    }

    /// The day of the prices, as the table says; empty where it does not.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// The price of a model, and whether it is listed.
    pub fn price(&self, model: &str) -> (Price, bool) {
        // What begins an id is not greater than it; of several the longest is the last.
        let end = self.rows.partition_point(|(row, _)| row.as_str() <= model);
        let listed = self.rows[..end].iter().rev().find(|(row, _)| model.starts_with(row.as_str()));
        listed.map_or((self.other, false), |(_, price)| (*price, true))
    }

    /// What tokens of a call of `model` cost.
    pub fn cost(&self, model: Option<&Model>, tokens: &Tokens) -> Cost {
        let (price, is_listed) = self.price(model.map_or("", |model| &model.id));
        let regional = if model.is_some_and(Model::is_global) { 1.0 } else { price.regional };
        let parts = [
            (tokens.input, price.input),
            (tokens.output, price.output),
            (tokens.cache_read, price.cache_read),
            (tokens.cache_write, price.cache_write),
        ];
        let dollars: f64 = parts.iter().map(|(count, price)| *count as f64 / TOKENS * price).sum();
        // A cast from float saturates.
        let micros = (dollars * regional * MICROS).round() as u64;
        Cost { micros: micros.max(u64::from(tokens.total() > 0)), is_listed }
    }
}

fn parse_row(line: &str) -> Result<(String, Price), String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let (model, input, output, cache_read, cache_write, regional) = match fields[..] {
        [model, input, output, cache_read, cache_write] => (model, input, output, cache_read, cache_write, ""),
        [model, input, output, cache_read, cache_write, regional] => (model, input, output, cache_read, cache_write, regional),
        _ => return Err(format!("{} fields", fields.len())),
    };
    if model.is_empty() {
        return Err("no model".to_owned());
    }
    let number = |text: &str| match text.parse::<f64>() {
        Ok(price) if (0.0..=PRICE_MAX).contains(&price) => Ok(price),
        _ => Err(format!("\"{text}\" is no price")),
    };
    let input = number(input)?;
    let cached = |text: &str| if text.is_empty() { Ok(input) } else { number(text) };
    let regional = if regional.is_empty() { 1.0 } else { number(regional)? };
    let price = Price { input, output: number(output)?, cache_read: cached(cache_read)?, cache_write: cached(cache_write)?, regional };
    Ok((model.to_owned(), price))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::ModelMap;

    const SMALL: &str = "# date: 2026-10-01\nmodel,input,output,cache_read,cache_write\nanthropic.claude,0.003,0.015,0.0003,0.00375,1.1\nanthropic.claude-3-haiku,0.00025,0.00125,,\n*,0.001,0.002,,\n";

    #[test]
    fn the_longest_beginning_counts() {
        let table = PriceTable::parse(SMALL).expect("a table");
        assert_eq!(table.price("anthropic.claude-3-haiku-20240307-v1:0").0.input, 0.00025);
        assert_eq!(table.price("anthropic.claude-3-sonnet-20240229-v1:0").0.input, 0.003);
        assert_eq!(table.price("anthropic.claude-3-haiku").0.output, 0.00125);
        assert_eq!(table.price("unknown.model"), (table.other, false));
        assert!(!table.price("").1);
        assert_eq!(table.date(), "2026-10-01");
    }

    #[test]
    fn every_kind_of_token_has_its_price() {
        let table = PriceTable::parse(SMALL).expect("a table");
        let tokens = Tokens { input: 1_000, output: 2_000, cache_read: 10_000, cache_write: 4_000 };
        let cost = |written: &str, tokens: &Tokens| table.cost(Some(&Model::parse(written, &ModelMap::default())), tokens);
        assert_eq!(cost("global.anthropic.claude-x", &tokens), Cost { micros: 3_000 + 30_000 + 3_000 + 15_000, is_listed: true });
        // What is not of a global profile costs a tenth more.
        assert_eq!(cost("eu.anthropic.claude-x", &tokens).micros, 56_100);
        // Without prices of its own the cache costs what the prompt does.
        assert_eq!(cost("anthropic.claude-3-haiku", &tokens).micros, 15 * 250 + 2 * 1_250);
        assert_eq!(cost("x", &Tokens::default()).micros, 0);
        assert_eq!(cost("anthropic.claude-3-haiku", &Tokens { input: 1, ..Tokens::default() }).micros, 1);
        assert!(!table.cost(None, &tokens).is_listed);
        let most = Tokens { input: u64::MAX, output: u64::MAX, cache_read: u64::MAX, cache_write: u64::MAX };
        assert!(cost("x", &most).micros > 1 << 60);
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line, what) in [
            ("a,1,2\n*,1,1,,", 1, "3 fields"),
            ("*,1,1,,\na,x,2,,", 2, "\"x\" is no price"),
            ("*,1,1,,\n,1,2,,", 2, "no model"),
            ("*,1,1,,\na,-1,2,,", 2, "\"-1\" is no price"),
            ("*,1,1,,\na,NaN,2,,", 2, "\"NaN\" is no price"),
            ("*,1,1,,\na,1,2,,\na,1,2,,", 0, "a is listed twice"),
            ("a,1,2,,", 0, "no row for *, the models that no other row names"),
        ] {
            assert_eq!(PriceTable::parse(text), Err(PriceError { line, what: what.to_owned() }), "{text}");
        }
    }

    #[test]
    fn the_shipped_table_has_a_date_and_the_models_that_companies_use() {
        let table = PriceTable::parse(TABLE).expect("readable");
        assert_eq!(table.date().len(), 10, "{}", table.date());
        for model in [
            "anthropic.claude-3-sonnet-20240229-v1:0",
            "anthropic.claude-sonnet-4-20250514-v1:0",
            "amazon.nova-pro-v1:0",
            "meta.llama3-70b-instruct-v1:0",
            "mistral.mistral-large-2402-v1:0",
        ] {
            assert!(table.price(model).1, "{model}");
        }
        assert!(table.rows.iter().all(|(model, price)| price.input <= 0.1 && price.output <= 0.5 && !model.starts_with("us.")));
    }
}
