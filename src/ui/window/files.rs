//! The files of the page, in the program. None has a secret in it: whoever can connect may read them.

/// The files of the folder `page`, by their names.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("page/", $name)))),*]
    };
}

/// A new file gets its name here.
const FILES: &[(&str, &str)] = files![
    "page.html",
    "about.js",
    "add.js",
    "api.js",
    "attention.js",
    "back.js",
    "cards.js",
    "dom.js",
    "files.js",
    "finder.js",
    "icon.svg",
    "list.js",
    "log.js",
    "main.js",
    "name.js",
    "places.js",
    "rows.js",
    "sending.js",
    "start.js",
    "state.js",
    "style.css",
    "talk.css",
    "talk.js",
    "text.js",
    "who.js",
    "why.js",
    "words.js",
    "write.js",
];

/// The type of a file and what is in it.
pub fn find(path: &str) -> Option<(&'static str, &'static str)> {
    let name = if path == "/" { "page.html" } else { path.strip_prefix('/')? };
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    let kind = match name.rsplit_once('.')? {
        (_, "css") => "text/css; charset=utf-8",
        (_, "js") => "text/javascript; charset=utf-8",
        (_, "svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    Some((kind, *text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the browser asks for a module only when it has read another one.
    #[test]
    fn the_page_asks_for_all_modules_at_once() {
        let page = find("/").map_or("", |(_, text)| text);
        for (name, _) in FILES.iter().filter(|(name, _)| name.ends_with(".js")) {
            assert!(page.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
