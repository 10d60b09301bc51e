//! What the help texts of the real program list.

use super::Home;

/// Every command, by its words, with its help; first the program itself, by no words.
pub fn commands(home: &Home) -> Vec<(String, String)> {
    let mut all = vec![(String::new(), home.run(&["--help"]))];
    let mut next = 0;
    while let Some((path, help)) = all.get(next) {
        let below: Vec<String> = listed(help, "Commands:")
            .iter()
            .map(|name| format!("{path} {name}").trim_start().into())
            .collect();
        for path in below {
            let help = home.run(&path.split(' ').chain(["--help"]).collect::<Vec<_>>());
            all.push((path, help));
        }
        next += 1;
    }
    all
}

/// The names under a title, as they stand there: `list`, or `-q, --quiet`.
pub fn listed(help: &str, title: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    let entries = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    entries.map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}
