//! Why generated code was left, told from how things are when it has returned: the code
//! itself does not say, and need not take the time to.

use isoform_core::attention::CALM;

/// How often generated code was left, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exits {
    /// Too few instructions were left for the way ahead.
    pub budget: u64,
    /// The interpreter was to execute instructions: a fault, a device, accesses that share
    /// a look and cross pages.
    pub interpret: u64,
    /// A block was entered so often that better code was to be asked for.
    pub hot: u64,
    /// Something was asked of the vCPU.
    pub attention: u64,
    /// There was no unit to go on with, or none that this vCPU had met.
    pub no_unit: u64,
    /// An instruction that is the run loop's to complete.
    pub system: u64,
}

/// How things are when generated code has returned.
pub(crate) struct Left {
    /// Instructions that it left to the interpreter.
    pub(crate) handed_back: u64,
    /// Of a block that is hot.
    pub(crate) hot: bool,
    /// The attention word is set.
    pub(crate) asked: bool,
    /// The vCPU is to exit.
    pub(crate) exits: bool,
}

impl Exits {
    /// How often it was left at all, and so entered.
    pub fn all(&self) -> u64 {
        self.handed_back() + self.hot + self.attention + self.no_unit + self.system
    }

    /// How often it left instructions to the interpreter.
    pub fn handed_back(&self) -> u64 {
        self.budget + self.interpret
    }

    /// Counts one.
    pub(crate) fn note(&mut self, left: &Left) {
        let count = match left {
            Left { hot: true, .. } => &mut self.hot,
            Left { asked: true, .. } => &mut self.attention,
            Left { exits: true, .. } => &mut self.system,
            Left { handed_back: 0, .. } => &mut self.no_unit,
            Left {
                handed_back: CALM, ..
            } => &mut self.budget,
            _ => &mut self.interpret,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_count() {
        let mut exits = Exits::default();
        let all = [
            (CALM, false, false, false),
            (1, false, false, false),
            (0, true, true, false),
            (5, false, true, false),
            (0, false, false, false),
            (0, false, false, true),
        ];
        for (handed_back, hot, asked, exit) in all {
            exits.note(&Left {
                handed_back,
                hot,
                asked,
                exits: exit,
            });
        }
        let one_each = Exits {
            budget: 1,
            interpret: 1,
            hot: 1,
            attention: 1,
            no_unit: 1,
            system: 1,
        };
        assert_eq!(exits, one_each);
        assert_eq!((exits.all(), exits.handed_back()), (6, 2));
    }
}
