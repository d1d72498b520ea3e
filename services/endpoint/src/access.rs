//! Who is let in: whoever bears a token that is known, as often as he may, and with so many requests at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::{self, Next};
use axum::response::Response;

use crate::answer;
use crate::rate::Rates;
use crate::shares::Shares;
use crate::tokens::TokenFile;

/// How many requests a second each name may make, where nothing else is wanted.
pub const RATE: u32 = 100;
/// How many requests of one name may be under way, of the 512 connections that there are.
pub const AT_ONCE: usize = 64;
/// After how long somebody who has that many under way may ask again: most are answered by then.
const LATER: Duration = Duration::from_secs(1);

/// The file of tokens is of no use.
#[derive(Debug, thiserror::Error)]
#[error("the tokens in {}: {why}", .path.display())]
pub struct Error {
    path: PathBuf,
    why: String,
}

/// Who is let in.
#[derive(Debug, Clone)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokens: TokenFile,
    rates: Rates,
    under_way: Shares,
}

impl Access {
    /// Whoever `tokens` names ([`crate::tokens`]), each for `per_second` requests a second on average and twice as many at once, with [`AT_ONCE`] under way.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub fn open(tokens: &Path, per_second: u32) -> Result<Self, Error> {
        let file = TokenFile::open(tokens).map_err(|why| Error {
            path: tokens.to_owned(),
            why,
        })?;
        Ok(Self(Arc::new(Inner {
            tokens: file,
            rates: Rates::new(per_second),
            under_way: Shares::new(AT_ONCE),
        })))
    }

    /// The same routes for whoever is let in: [`crate::Caller`] is among the request's extensions.
    pub fn guard(&self, routes: Router) -> Router {
        routes.route_layer(middleware::from_fn_with_state(self.clone(), let_in))
    }
}

/// Asks who asks.
async fn let_in(
    State(Access(access)): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return answer::unauthorized("say who asks: `Authorization: Bearer TOKEN`");
    };
    let token = header.to_str().ok().and_then(|text| text.split_once(' '));
    let caller = token
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| access.tokens.whose(token.trim()));
    let Some(caller) = caller else {
        return answer::unauthorized(
            "this token is not known here, or its time is over: `fleetcast auth token issue` makes one",
        );
    };
    if let Err(later) = access.rates.take(&caller.name, Instant::now()) {
        let message = format!("{} asks too often: wait as Retry-After says", caller.name);
        return answer::too_many(&message, later);
    }
    let Some(_place) = access.under_way.now(&caller.name) else {
        let message = format!(
            "{} has {AT_ONCE} requests under way: wait as Retry-After says",
            caller.name
        );
        return answer::too_many(&message, LATER);
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}
