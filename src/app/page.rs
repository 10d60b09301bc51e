//! An HTTP server on loopback for the browsers of this machine (RFC 9112, as little of it as a page needs): bytes in, requests
//! out. It knows no path. What gets through it was checked by the rules of [`request`] and [`gate`]; egoat(1), WINDOW, says
//! which these are, and why.
//!
//! A connection is a thread with a small stack and one buffer; there are at most `MAX_CONNECTIONS`.

pub mod answer;
pub mod form;
pub mod gate;
pub mod request;

use std::sync::Arc;

use crate::app::page::answer::Exchange;
use crate::app::page::request::Head;
use crate::error::Result;
use crate::net::page::PageStream;
use crate::node::threads;

pub use crate::net::page::PageListener;

/// Connections that are served at a time. A browser has six.
const MAX_CONNECTIONS: usize = 32;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request that has passed the gate.
    fn answer(&self, head: &Head, exchange: &mut Exchange);
}

/// Starts to serve, for as long as the process runs.
pub fn serve(listener: PageListener, handler: Arc<dyn Handler>) -> Result<()> {
    threads::spawn("browsers", move || accept(&listener, &handler))
}

fn accept(listener: &PageListener, handler: &Arc<dyn Handler>) {
    let places = Arc::new(());
    loop {
        let stream = listener.accept();
        // One reference is ours. A connection too many is closed without a word: whoever makes so many is no browser.
        if Arc::strong_count(&places) > MAX_CONNECTIONS {
            continue;
        }
        let (handler, place) = (Arc::clone(handler), Arc::clone(&places));
        let serve = move || {
            serve_connection(stream, &*handler);
            drop(place);
        };
        // Without a thread the connection is closed.
        let _ = threads::spawn("page", serve);
    }
}

fn serve_connection(stream: PageStream, handler: &dyn Handler) {
    let mut exchange = Exchange::new(stream);
    while let Some(head) = exchange.next_request() {
        handler.answer(&head, &mut exchange);
        if !exchange.end() {
            break;
        }
    }
    exchange.close();
}
