//! Saved state of the controller. Each domain's window saves its own; what they share
//! goes with the root.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::{Addresses, AplicDomain, Domain, Inner, Level, Source, SourceMode, spec};

/// The guest-visible state of a domain; with the root's goes what both share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AplicState {
    domain: DomainState,
    /// The root alone: the wires, and the four address registers.
    shared: Option<(Vec<bool>, [u32; 4])>,
}

/// The registers of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainState {
    enabled: bool,
    genmsi: u32,
    sources: Vec<SourceState>,
}

/// A source in a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    sourcecfg: u32,
    target: u32,
    pending: bool,
    enabled: bool,
}

impl Saved for AplicDomain {
    type State = AplicState;
    const NAME: &'static str = "aplic";
    const VERSION: u16 = 1;

    fn state(&self) -> AplicState {
        let inner = self.aplic.lock();
        let Inner {
            delegated_to: _,
            messages: _,
            wires,
            root,
            child,
            addresses,
        } = &*inner;
        let Addresses {
            mmsiaddrcfg,
            mmsiaddrcfgh,
            smsiaddrcfg,
            smsiaddrcfgh,
        } = *addresses;
        let addresses = [mmsiaddrcfg, mmsiaddrcfgh, smsiaddrcfg, smsiaddrcfgh];
        match self.level {
            Level::Machine => AplicState {
                domain: save_domain(root),
                shared: Some((wires.clone(), addresses)),
            },
            Level::Supervisor => AplicState {
                domain: save_domain(child),
                shared: None,
            },
        }
    }

    /// The root comes before its child, which has only what the root delegates.
    fn set_state(&mut self, state: AplicState) -> Result<(), RestoreError> {
        let AplicState { domain, shared } = state;
        let mut inner = self.aplic.lock();
        let count = inner.wires.len();
        let wires = shared.as_ref().map_or(count, |(wires, _)| wires.len());
        if domain.sources.len() != count || wires != count {
            return Err(RestoreError::Mismatch {
                name: Self::NAME,
                reason: format!("this machine's has {} sources", count - 1),
            });
        }
        match (self.level, shared) {
            (Level::Machine, Some((wires, [m, mh, s, sh]))) => {
                inner.wires = wires;
                inner.addresses = Addresses {
                    mmsiaddrcfg: m,
                    mmsiaddrcfgh: mh & spec::MMSIADDRCFGH_MASK,
                    smsiaddrcfg: s,
                    smsiaddrcfgh: sh & spec::SMSIADDRCFGH_MASK,
                };
            }
            (Level::Supervisor, None) => {}
            _ => {
                return Err(RestoreError::Damaged {
                    name: Self::NAME,
                    reason: "it is of the other domain".to_owned(),
                });
            }
        }
        *inner.domain_mut(self.level) = restore_domain(domain, &inner, self.level);
        Ok(())
    }
}

fn save_domain(domain: &Domain) -> DomainState {
    let Domain {
        enabled,
        genmsi,
        sources,
    } = domain;
    let save = |source: &Source| {
        let Source {
            sourcecfg,
            target,
            pending,
            enabled,
        } = *source;
        SourceState {
            sourcecfg,
            target,
            pending,
            enabled,
        }
    };
    DomainState {
        enabled: *enabled,
        genmsi: *genmsi,
        sources: sources.iter().map(save).collect(),
    }
}

/// The nearest state that the domain could be in.
fn restore_domain(state: DomainState, inner: &Inner, level: Level) -> Domain {
    let DomainState {
        enabled,
        genmsi,
        sources,
    } = state;
    let restore = |(number, state): (usize, SourceState)| {
        let SourceState {
            sourcecfg,
            target,
            pending,
            enabled,
        } = state;
        let delegates = sourcecfg & spec::SOURCECFG_D != 0;
        let mut source = Source::default();
        match level {
            _ if number == 0 => return source,
            Level::Supervisor if !inner.is_delegated(number) => return source,
            Level::Machine if delegates => source.sourcecfg = spec::SOURCECFG_D,
            _ => source.sourcecfg = SourceMode::from_bits(sourcecfg) as u32,
        }
        if source.is_active() {
            source.target = target & spec::TARGET_MASK;
            (source.pending, source.enabled) = (pending, enabled);
        }
        source
    };
    Domain {
        enabled,
        genmsi: genmsi & spec::TARGET_MASK,
        sources: sources.into_iter().enumerate().map(restore).collect(),
    }
}
