//! The page: the built files of `web/dist`, served as they are. They hold nothing of the historian; what the page shows it asks of the API, with
//! the token of whoever looks at it.

use std::{io::Write as _, sync::LazyLock};

use axum::{
    Router,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
            VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// What the page may load and be part of: its own files and the API of where it comes from, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Paths of the page itself, which tells its screens apart by them.
const SCREENS: [&str; 7] = ["/", "/tags", "/tags/{*name}", "/collectors", "/collectors/{*name}", "/findings", "/system"];

/// A file of the page.
struct PageFile {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

const INDEX: PageFile =
    PageFile { path: "/index.html", media_type: "text/html; charset=utf-8", content: include_bytes!("../../../web/dist/index.html") };

const FILES: [PageFile; 3] = [
    PageFile { path: "/app.js", media_type: "text/javascript; charset=utf-8", content: include_bytes!("../../../web/dist/app.js") },
    PageFile { path: "/app.css", media_type: "text/css; charset=utf-8", content: include_bytes!("../../../web/dist/app.css") },
    PageFile { path: "/icon.svg", media_type: "image/svg+xml", content: include_bytes!("../../../web/dist/icon.svg") },
];

/// A file as it is sent.
struct ServedFile {
    media_type: &'static str,
    plain: &'static [u8],
    gzip: Bytes,
    etag: String,
}

impl ServedFile {
    fn of(file: &PageFile) -> ServedFile {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // To memory nothing fails.
        let _ = encoder.write_all(file.content);
        let gzip = Bytes::from(encoder.finish().unwrap_or_default());
        let etag = format!("\"{:08x}-{}\"", crc32c::crc32c(file.content), file.content.len());
        ServedFile { media_type: file.media_type, plain: file.content, gzip, etag }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let says = |name, text: &str| headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(text));
        let is_known = says(IF_NONE_MATCH, &self.etag);
        let is_packed = says(ACCEPT_ENCODING, "gzip");
        let mut response = match (is_known, is_packed) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, true) => self.gzip.clone().into_response(),
            (false, false) => self.plain.into_response(),
        };
        let sent = response.headers_mut();
        for (name, text) in [
            (CONTENT_TYPE, self.media_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            // Another version of the program has another page.
            (CACHE_CONTROL, "no-cache"),
            (VARY, "accept-encoding"),
        ] {
            sent.insert(name, HeaderValue::from_static(text));
        }
        if is_packed && !is_known {
            sent.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            sent.insert(ETAG, etag);
        }
        response
    }
}

/// Paths of the screens and files.
pub fn listed_paths() -> impl Iterator<Item = &'static str> {
    SCREENS.into_iter().chain([INDEX.path]).chain(FILES.map(|file| file.path))
}

/// The routes of the page.
pub fn routes() -> Router {
    static SERVED: LazyLock<[ServedFile; 4]> = LazyLock::new(|| {
        let [script, style, icon] = FILES.each_ref().map(ServedFile::of);
        [ServedFile::of(&INDEX), script, style, icon]
    });
    let answer = |place: usize| get(async move |headers: HeaderMap| SERVED[place].answer(&headers));
    let screens = SCREENS.into_iter().chain([INDEX.path]).fold(Router::new(), |router, path| router.route(path, answer(0)));
    FILES.iter().enumerate().fold(screens, |router, (place, file)| router.route(file.path, answer(place + 1)))
}
