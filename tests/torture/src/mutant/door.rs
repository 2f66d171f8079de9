//! Faulty doors. None of them lets anybody in from another machine: a mutant listens on loopback, whatever it was told.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use historian::cli::serve::ServeArgs;

/// Where there is no fault, or one that is not of the door.
pub const SOUND: &str = "sound";
/// An address that no configuration of a test has.
const ONE_MORE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// What goes wrong before a configuration is read: what is left to be done by other mutants, the arguments to go on with, and what is open from
/// now on.
///
/// # Errors
/// There is no free port.
pub fn before(kind: &str, args: ServeArgs) -> anyhow::Result<(&str, ServeArgs, Option<TcpListener>)> {
    match kind {
        // Whoever is refused has nothing to listen for.
        "listens" if args.load().is_err() => Ok((SOUND, args, None)),
        "listens" => Ok((SOUND, args, Some(TcpListener::bind((ONE_MORE, 0))?))),
        "lenient" if args.load().is_err() => Ok((SOUND, on_loopback(args), None)),
        "lenient" => Ok((SOUND, args, None)),
        _ => Ok((kind, args, None)),
    }
}

/// As if nothing had been said of addresses, certificates and files.
fn on_loopback(args: ServeArgs) -> ServeArgs {
    let free = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    ServeArgs { data_dir: args.data_dir, listen: free, http: free, ..ServeArgs::default() }
}
