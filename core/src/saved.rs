//! Saved state: one versioned struct per device and vCPU.
//!
//! A type that holds state implements [`Saved`] with a separate plain struct, filled
//! by exhaustive destructuring (no `..`), so that a field added later cannot be
//! forgotten. The encoding is a version number followed by postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why saved state was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are not what this kind of state looks like.
    #[error("{name}: the saved state is damaged: {reason}")]
    Damaged {
        /// Whose state.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a version that this one does not know.
    #[error("{name}: the saved state has version {found}, this program reads version {known}")]
    Version {
        /// Whose state.
        name: &'static str,
        /// The version found.
        found: u16,
        /// The version known.
        known: u16,
    },
    /// The state does not fit the machine as configured.
    #[error("{name}: the saved state does not fit this machine: {reason}")]
    Mismatch {
        /// Whose state.
        name: &'static str,
        /// What differs.
        reason: String,
    },
}

/// State that can be saved and put back.
pub trait Saved {
    /// The plain, versioned form.
    type State: Serialize + DeserializeOwned;
    /// Whose state, in messages.
    const NAME: &'static str;
    /// Raised whenever `State` changes its shape.
    const VERSION: u16;

    /// The state now.
    fn state(&self) -> Self::State;

    /// Puts a state back, checking all that a hostile file could have wrong.
    fn set_state(&mut self, state: Self::State) -> Result<(), RestoreError>;

    /// The state as bytes.
    fn save_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(Self::VERSION, self.state()))
            .expect("plain data always has a postcard form in memory")
    }

    /// Puts back what [`Saved::save_bytes`] gave.
    fn restore_bytes(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let damaged = |e: postcard::Error| RestoreError::Damaged {
            name: Self::NAME,
            reason: e.to_string(),
        };
        let (found, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(damaged)?;
        if found != Self::VERSION {
            return Err(RestoreError::Version {
                name: Self::NAME,
                found,
                known: Self::VERSION,
            });
        }
        let (state, rest) = postcard::take_from_bytes::<Self::State>(rest).map_err(damaged)?;
        if !rest.is_empty() {
            return Err(RestoreError::Damaged {
                name: Self::NAME,
                reason: format!("{} bytes too many", rest.len()),
            });
        }
        self.set_state(state)
    }
}
