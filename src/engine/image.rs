//! An engine as a value: everything that a snapshot keeps, in a fixed order, so that the same state gives the same bytes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baselines::{Baselines, BaselinesImage};
use super::frozen::WorkersImage;
use super::inputs::Inputs;
use super::joining::JoiningImage;
use super::rules::RulesImage;
use super::verdicts::VerdictShare;
use super::waiting::{Held, PairsImage};
use super::worker;
use super::{Engine, EngineSettings};
use crate::alerting::AlertingImage;
use crate::identity::Unknown;
use crate::observation::Call;
use crate::state::DepartmentUses;
use crate::stats::Dedup;
use crate::stats::dedup::DedupImage;

/// Everything that a snapshot keeps of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineImage {
    inputs: Inputs,
    pub(super) dedup: DedupImage,
    pub(super) pairs: PairsImage,
    pub(super) held: Held,
    pub(super) joining: JoiningImage,
    /// Latest calls of people; who made them is worked out again.
    pub(super) recent: Vec<Call>,
    pub(super) departments: DepartmentUses,
    verdicts: VerdictShare,
    pub(super) workers: WorkersImage,
    baselines: BaselinesImage,
    rules: RulesImage,
    pub(super) closed_day: i64,
    pub(super) alerting: AlertingImage,
}

impl Engine {
    /// What a snapshot keeps. Everything is in a fixed order: the same state gives the same bytes.
    pub fn image(&self) -> EngineImage {
        EngineImage {
            inputs: self.inputs.image(),
            dedup: self.dedup.image(),
            pairs: self.pairs.image(),
            held: self.held.clone(),
            joining: self.joining.image(),
            recent: self.recent.image(),
            departments: self.departments.clone(),
            verdicts: self.verdicts.clone(),
            workers: worker::image(&self.workers),
            baselines: self.baselines.image(),
            rules: self.rules.image(),
            closed_day: self.closed_day,
            alerting: self.alerting.image(),
        }
    }

    /// An engine that goes on from `image`. Limits may have changed since: what does not fit is forgotten, oldest first.
    pub fn restore(settings: EngineSettings, image: EngineImage) -> Self {
        let mut engine = Self::new(settings);
        engine.inputs = image.inputs.reopened(engine.settings.lateness);
        engine.dedup = Dedup::restore(&image.dedup, engine.settings.dedup_capacity);
        engine.pairs.restore(image.pairs);
        engine.held = image.held;
        let watermark = engine.inputs.watermark();
        engine.joining.restore(image.joining, watermark);
        for call in image.recent {
            let known = engine.joining.attribute(&call, Unknown::NoGrant);
            engine.recent.note(Arc::new(call), &known);
        }
        engine.departments = image.departments;
        engine.verdicts = image.verdicts;
        worker::restore(&mut engine.workers, image.workers);
        engine.baselines = Baselines::restore(engine.settings.detectors.spike.clone(), image.baselines);
        engine.rules.restore(image.rules);
        engine.closed_day = image.closed_day;
        engine.alerting.restore(image.alerting, watermark);
        engine.last_tick = watermark;
        engine
    }
}
