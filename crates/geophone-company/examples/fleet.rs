//! Writes the counts and labels of a fleet for a backtest:
//! `cargo run -p geophone-company --example fleet --release -- --seed 7 --identities 1500 --days 70 --out DIR`
//! and, if wanted, `--attacks-per-kind 40 --campaigns 8 --attack-scale 1.0`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use geophone_company::fleet::{Fleet, FleetSettings};

fn main() -> Result<(), Box<dyn Error>> {
    let (settings, folder) = read_arguments(std::env::args().skip(1))?;
    let fleet = Fleet::new(settings);
    fs::create_dir_all(&folder)?;
    let mut counts = File::create(folder.join("counts.csv"))?;
    fleet.write_counts(&mut counts)?;
    let mut labels = BufWriter::new(File::create(folder.join("labels.csv"))?);
    fleet.write_labels(&mut labels)?;
    labels.flush()?;
    println!("{} rows and {} labelled spans in {}", fleet.row_count(), fleet.spans().len(), folder.display());
    Ok(())
}

fn read_arguments(mut arguments: impl Iterator<Item = String>) -> Result<(FleetSettings, PathBuf), Box<dyn Error>> {
    let mut settings = FleetSettings::default();
    let mut folder = None;
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seed" => settings.seed = value.parse()?,
            "--identities" => settings.identities = value.parse()?,
            "--days" => settings.days = value.parse()?,
            "--attacks-per-kind" => settings.attacks_per_kind = value.parse()?,
            "--campaigns" => settings.campaigns = value.parse()?,
            "--attack-scale" => settings.attack_scale = value.parse()?,
            "--out" => folder = Some(PathBuf::from(value)),
            _ => return Err(format!(
                "unknown argument {name}; known are --seed, --identities, --days, --attacks-per-kind, --campaigns, --attack-scale and --out"
            )
            .into()),
        }
    }
    Ok((settings, folder.ok_or("--out DIR is missing")?))
}
