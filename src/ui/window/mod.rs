//! The window: a page in a browser, on the same logs as the terminal. `api` answers what the page asks, as API.md beside
//! this file says; `files` has the page itself. egoat(1), WINDOW, says who is let in.

mod api;
mod files;

use std::sync::Arc;

use crate::app::page::answer::Exchange;
use crate::app::page::request::{Head, Method};
use crate::app::page::{self, Handler, PageListener};
use crate::app::window::Window;
use crate::app::window::sessions::Trade;
use crate::error::{Error, Result};
use crate::text::json::Object;
use crate::ui::output;

/// Starts to serve the page, for as long as the process runs.
pub fn serve(listener: PageListener, window: &Arc<Window>) -> Result<()> {
    page::serve(listener, Arc::new(Page { window: Arc::clone(window) }))
}

struct Page {
    window: Arc<Window>,
}

impl Handler for Page {
    fn answer(&self, head: &Head, exchange: &mut Exchange) {
        let (method, path) = (head.method, head.path.as_str());
        if let (Method::Get, Some((kind, text))) = (method, files::find(path)) {
            exchange.begin_whole(200, kind, text.len() as u64, "");
            exchange.write(text.as_bytes());
        } else if let (Method::Get, Some(ticket)) = (method, path.strip_prefix("/download/")) {
            api::download(&self.window, ticket, exchange);
        } else if !path.starts_with("/api/") {
            exchange.fail(404, &Error::usage("there is no such page"));
        } else if (method, path) == (Method::Post, "/api/session") {
            self.begin_session(exchange);
        } else if self.window.sessions.admits(head.token.as_deref()) {
            self.window.feed.see();
            api::answer(&self.window, head, exchange);
        } else {
            exchange.fail(401, &Error::usage("this session is over; run `egoat window` again"));
        }
    }
}

impl Page {
    fn begin_session(&self, exchange: &mut Exchange) {
        // The code stands in the command line of a program that opens it, which other users can see.
        if !exchange.may_be_own() {
            return exchange.fail(403, &Error::usage("this browser is another user's"));
        }
        let form = exchange.text(api::SHORT).and_then(|text| page::form::Form::decode(&text));
        let code = form.as_ref().and_then(|form| form.get("code")).unwrap_or_default();
        match self.window.sessions.trade(code) {
            Trade::Token(token) => {
                self.window.feed.see();
                exchange.line(Object::event("session").text("token", &token));
            }
            Trade::Wrong => {
                exchange.fail(401, &Error::usage("this code is not good any more; run `egoat window` again"));
            }
            Trade::UsedTwice => {
                self.window.feed.wake();
                output::warn(
                    "the code of a window was used twice, so somebody else may have seen it: both sessions have ended; \
                     run `egoat window` again",
                );
                exchange.fail(401, &Error::usage("this code was used before; run `egoat window` again"));
            }
        }
    }
}
