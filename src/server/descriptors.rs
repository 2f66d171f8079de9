//! File descriptors of the process: raised to what the system allows, and divided so that connections never take those of the store.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// From so many on, the store may keep all of its tables open: of 64 MiB each, that is a terabyte.
const UNBOUNDED_FROM: u64 = 16_384;

/// How many files the process may have open.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    limit: u64,
}

impl Descriptors {
    /// Raises the soft limit to the hard one: the soft one is low for the sake of programs that keep descriptors in bit sets.
    pub fn raised() -> Descriptors {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
        let limit = if raised { maximum } else { current };
        Descriptors { limit: limit.unwrap_or(u64::MAX) }
    }

    /// A quarter is for connections, a quarter for tables of the store. The rest is for the store's other files, devices, backups and
    /// the lanes of SQL statements.
    fn quarter(self) -> u64 {
        self.limit / 4
    }

    /// Connections that may be open, of those that are wanted.
    pub fn connections(self, wanted: usize) -> usize {
        let possible = usize::try_from(self.quarter()).unwrap_or(usize::MAX).max(1);
        if possible < wanted {
            tracing::warn!(
                descriptors = self.limit,
                "limits.connections_max is {possible} instead of {wanted}, for want of file descriptors; raise the limit of open files (LimitNOFILE)"
            );
        }
        wanted.min(possible)
    }

    /// Tables that the store may keep open; `None` for all.
    pub fn tables(self) -> Option<u32> {
        (self.limit < UNBOUNDED_FROM).then(|| u32::try_from(self.quarter()).unwrap_or(u32::MAX).max(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_tables_leave_half_of_the_descriptors_to_the_rest() {
        for (limit, connections, tables) in
            [(64, 16, Some(16)), (256, 64, Some(64)), (4_096, 1_024, Some(1_024)), (20_000, 5_000, None), (u64::MAX, 5_000, None)]
        {
            let descriptors = Descriptors { limit };
            assert_eq!((descriptors.connections(5_000), descriptors.tables()), (connections, tables), "{limit}");
        }
        assert_eq!(Descriptors { limit: 4_096 }.connections(10), 10);
    }

    #[test]
    fn the_soft_limit_is_the_hard_one_afterwards() {
        let descriptors = Descriptors::raised();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert_eq!(descriptors.limit, maximum.unwrap_or(u64::MAX));
    }
}
