//! Saved state of the interrupt controller: the one form of it, whoever runs it.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::{Context, Inner, PlicDevice, spec};

/// The guest-visible state of a [`Plic`](super::Plic), with the levels of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlicState {
    priority: Vec<u32>,
    level: Vec<u32>,
    pending: Vec<u32>,
    in_service: Vec<u32>,
    contexts: Vec<ContextState>,
}

/// The state of one context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextState {
    enable: Vec<u32>,
    threshold: u32,
}

impl Saved for PlicDevice {
    type State = PlicState;
    const NAME: &'static str = "plic";
    const VERSION: u16 = 1;

    fn state(&self) -> PlicState {
        let inner = self.0.lock();
        let Inner {
            outputs: _,
            priority,
            level,
            pending,
            in_service,
            contexts,
        } = &*inner;
        PlicState {
            priority: priority.clone(),
            level: level.clone(),
            pending: pending.clone(),
            in_service: in_service.clone(),
            contexts: contexts
                .iter()
                .map(|Context { enable, threshold }| ContextState {
                    enable: enable.clone(),
                    threshold: *threshold,
                })
                .collect(),
        }
    }

    fn set_state(&mut self, state: PlicState) -> Result<(), RestoreError> {
        let mut inner = self.0.lock();
        let PlicState {
            priority,
            level,
            pending,
            in_service,
            contexts,
        } = state;
        let words = inner.level.len();
        let fits = priority.len() == inner.priority.len()
            && contexts.len() == inner.contexts.len()
            && [&level, &pending, &in_service]
                .into_iter()
                .chain(contexts.iter().map(|c| &c.enable))
                .all(|map| map.len() == words);
        if !fits {
            return Err(RestoreError::Mismatch {
                name: Self::NAME,
                reason: format!(
                    "it has {} contexts, this machine {}",
                    contexts.len(),
                    inner.contexts.len()
                ),
            });
        }
        let masks: Vec<u32> = (0..words).map(|i| inner.word_mask(i)).collect();
        let masked = |map: Vec<u32>| map.iter().zip(&masks).map(|(w, m)| w & m).collect();
        inner.level = masked(level);
        inner.pending = masked(pending);
        inner.in_service = masked(in_service);
        inner.contexts = contexts
            .into_iter()
            .map(|ContextState { enable, threshold }| Context {
                enable: masked(enable),
                threshold: threshold & spec::PRIORITY_MASK,
            })
            .collect();
        inner.priority = priority.iter().map(|p| p & spec::PRIORITY_MASK).collect();
        if let Some(none) = inner.priority.first_mut() {
            *none = 0;
        }
        inner.sync();
        Ok(())
    }
}
