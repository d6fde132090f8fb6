//! What is let through and what is not: the chains of nf_tables that do other than translate, whoever made them.

use raum_core::view::{Room, RuleChain};

use crate::output::{BAD, DIM, paint};

/// A line for each chain, and below it one for each of its rules, as nft writes them.
pub fn lines(room: &Room, indent: usize) -> Vec<String> {
    let lead = " ".repeat(indent);
    let of_chain = |chain: &RuleChain| {
        let head = format!("{lead}{}  {}\n", title(chain), paint(DIM, format!("(table {})", chain.table)));
        let rules = chain.rules.iter().map(|rule| format!("{lead}  {rule}\n"));
        std::iter::once(head).chain(rules).collect::<Vec<_>>()
    };
    room.chains.iter().flat_map(of_chain).collect()
}

/// `input: what no rule accepts is dropped`, `FORWARD at forward`, `admin, only by a jump`.
fn title(chain: &RuleChain) -> String {
    let at = match &chain.hook {
        Some(hook) if hook.eq_ignore_ascii_case(&chain.chain) => String::new(),
        Some(hook) => format!(" at {hook}"),
        None => ", only by a jump".to_owned(),
    };
    let end = if chain.drops { format!(": what no rule accepts is {}", paint(BAD, "dropped")) } else { String::new() };
    format!("{}{at}{end}", chain.chain)
}
