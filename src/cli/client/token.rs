//! How the client commands show who they are: an API token, which goes with each request and into no message, log or help.

use std::{fmt, fs::File, io::Read, os::unix::fs::MetadataExt, path::Path, path::PathBuf};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::Misuse;

/// Longest text of a token; those of other issuers are longer than ours.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The token of a command.
#[derive(Clone, Debug, Default, Args)]
pub struct TokenArgs {
    /// API token (see `historian token`). Other users of this machine can see the arguments of a command: better use the variable, or
    /// --token-file.
    #[arg(long, value_name = "TOKEN", env = "HISTORIAN_TOKEN", hide_env_values = true)]
    token: Option<TokenText>,
    /// File with an API token in one line, which its owner alone may read. Wins over --token and the variable.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What somebody gave as a token.
#[derive(Clone)]
struct TokenText(String);

impl From<String> for TokenText {
    fn from(text: String) -> TokenText {
        TokenText(text)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText")
    }
}

impl TokenArgs {
    /// What goes with each request.
    ///
    /// # Errors
    /// [`Misuse`] when the file cannot be read, others may read it, or a text is no token. It is not in the message.
    pub fn bearer(&self) -> anyhow::Result<Bearer> {
        let (text, of) = match (&self.token_file, &self.token) {
            (Some(file), _) => (read(file)?, format!("--token-file {}", file.display())),
            (None, Some(TokenText(text))) => (text.clone(), "--token or HISTORIAN_TOKEN".to_owned()),
            (None, None) => return Ok(Bearer(None)),
        };
        let token = text.trim();
        if token.is_empty() && self.token_file.is_none() {
            return Ok(Bearer(None)); // as a shell does that has the variable and no value
        }
        let is_token = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().ok().filter(|_| is_token);
        let Some(mut header) = header else {
            return Err(Misuse(format!("{of}: is no token; it is one word, as `historian token create` printed it")).into());
        };
        header.set_sensitive(true);
        Ok(Bearer(Some(header)))
    }
}

fn read(path: &Path) -> Result<String, Misuse> {
    let refuse = |reason: String| Misuse(format!("--token-file {}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let about = file.metadata().map_err(|error| refuse(error.to_string()))?;
    // A pipe from another program is nobody else's either.
    if about.is_file() && about.mode() & 0o077 != 0 {
        return Err(refuse(format!("others may read it (mode {:03o}); chmod 600 it", about.mode() & 0o777)));
    }
    let mut text = String::new();
    file.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
    Ok(text)
}

/// Puts the token, if there is one, into the header `authorization` of each request.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// The value of the header `Authorization`, for a request that is no gRPC.
    pub fn header(&self) -> Option<&str> {
        self.0.as_ref()?.to_str().ok()
    }

    /// True where no token is sent.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const SECRET: &str = "hst_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";

    fn header(args: &TokenArgs) -> Option<String> {
        let request = args.bearer().unwrap().call(Request::new(())).unwrap();
        let header = request.metadata().get("authorization")?;
        assert!(!format!("{request:?}").contains("hst_"), "{request:?}");
        Some(header.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_token_goes_with_each_request_and_is_shown_nowhere() {
        let args = TokenArgs { token: Some(SECRET.to_owned().into()), token_file: None };
        assert_eq!(header(&args), Some(format!("Bearer {SECRET}")));
        assert!(!format!("{args:?} {:?}", args.bearer().unwrap()).contains("hst_"));
        assert_eq!(header(&TokenArgs::default()), None);
        assert_eq!(header(&TokenArgs { token: Some(String::new().into()), token_file: None }), None);
    }

    #[test]
    fn a_token_file_wins_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let args = TokenArgs { token: Some("other".to_owned().into()), token_file: Some(file.clone()) };
        let refused = || args.bearer().unwrap_err().to_string();
        assert!(refused().contains(&file.display().to_string()));
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refused().contains("mode 644); chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(header(&args), Some(format!("Bearer {SECRET}")));
        for wrong in [String::new(), format!("{SECRET}\n{SECRET}\n"), format!("Bearer {SECRET}"), format!("{SECRET}ä"), "x".repeat(100_000)]
        {
            fs::write(&file, wrong).unwrap();
            assert!(refused().contains("is no token") && !refused().contains(SECRET), "{}", refused());
        }
    }
}
