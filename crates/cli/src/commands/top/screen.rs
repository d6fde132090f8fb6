//! The picture: a line about all, the table, who talks most in the namespace under the cursor, and the keys.

use std::fmt::Write;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row as TableRow, Table, TableState};
use raum_core::view::end;

use super::keys::{Input, KEYS, Typing};
use super::model::{Column, Model, Row};
use crate::commands::amount::scaled;
use crate::commands::clock;

/// Lines of the list of talkers, with its border.
const TALKERS: u16 = 9;
/// Below this height only the table is shown.
const HIGH: u16 = 18;

pub fn draw(frame: &mut Frame<'_>, model: &Model, input: &Input, state: &mut TableState) {
    let area = frame.area();
    let talkers = if model.talkers_shown && area.height >= HIGH { TALKERS } else { 0 };
    let [head, table, below, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(talkers),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(summary(model), head);
    state.select(Some(model.cursor()));
    frame.render_stateful_widget(rows(model, table.width), table, state);
    if talkers > 0 {
        frame.render_widget(talking(model), below);
    }
    frame.render_widget(footer(input), foot);
    if input.help {
        help(frame, area);
    }
}

fn summary(model: &Model) -> Paragraph<'static> {
    let mut namespaces: Vec<u64> = model.rows().iter().map(|row| row.inode).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let dropped: f64 = model.rows().iter().map(|row| row.rates.dropped).sum();
    let errors: f64 = model.rows().iter().map(|row| row.rates.errors).sum();
    let mut text = format!(
        "raum top  {}  {} namespaces, {} interfaces  {} dropped/s  {} bad/s",
        clock::time(Timestamp::now()),
        namespaces.len(),
        model.rows().len(),
        scaled(dropped, ""),
        scaled(errors, ""),
    );
    if !model.filter.is_empty() {
        text += &format!("  filter: {}", model.filter);
    }
    if model.paused {
        text += "  paused";
    }
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

/// The columns that there is room for, whole: half a number says something else. The one that is sorted by stays.
fn columns(width: u16, chosen: Column) -> Vec<Column> {
    let mut shown = Column::ALL.to_vec();
    for column in [Column::PacketsOut, Column::PacketsIn, Column::Errors, Column::Dropped, Column::Sent] {
        // and a space between each
        let wide: u16 = shown.iter().map(|column| 1 + room(*column)).sum();
        if wide > width + 1 && column != chosen {
            shown.retain(|other| *other != column);
        }
    }
    shown
}

/// What a column needs; names can do with less.
fn room(column: Column) -> u16 {
    match column {
        Column::Namespace | Column::Interface => 15,
        Column::Received | Column::Sent => 11,
        Column::PacketsIn | Column::PacketsOut => 10,
        Column::Dropped | Column::Errors => 8,
    }
}

fn rows(model: &Model, width: u16) -> Table<'static> {
    let columns = columns(width, model.column);
    let titles = columns.iter().map(|&column| {
        let chosen = column == model.column;
        let mark = match (chosen, model.inverted) {
            (false, _) => "",
            (true, false) => "▼",
            (true, true) => "▲",
        };
        let style = if chosen { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        Cell::from(aligned(column, format!("{}{mark}", column.title()))).style(style)
    });
    let titles = TableRow::new(titles).style(Style::new().fg(Color::Black).bg(Color::Green));
    let lines = model.shown().into_iter().map(|row| line(row, model.bits, &columns));
    let widths = columns.iter().map(|&column| match column {
        Column::Namespace | Column::Interface => Constraint::Fill(1),
        _ => Constraint::Length(room(column)),
    });
    Table::new(lines, widths).header(titles).row_highlight_style(Style::new().fg(Color::Black).bg(Color::Cyan))
}

fn line(row: &Row, bits: bool, columns: &[Column]) -> TableRow<'static> {
    let amount = |bytes: f64| if bits { scaled(bytes * 8.0, "bit") } else { scaled(bytes, "B") };
    let rates = &row.rates;
    let cells = columns.iter().map(|&column| {
        let text = match column {
            Column::Namespace => row.namespace.clone(),
            Column::Interface if row.up => row.interface.clone(),
            Column::Interface => format!("{} (down)", row.interface),
            Column::Received => amount(rates.rx_bytes),
            Column::Sent => amount(rates.tx_bytes),
            Column::PacketsIn => scaled(rates.rx_packets, ""),
            Column::PacketsOut => scaled(rates.tx_packets, ""),
            Column::Dropped => scaled(rates.dropped, ""),
            Column::Errors => scaled(rates.errors, ""),
        };
        let style = match column {
            Column::Dropped if rates.dropped > 0.0 => Style::new().fg(Color::Yellow),
            Column::Errors if rates.errors > 0.0 => Style::new().fg(Color::Red),
            Column::Received if rates.rx_bytes > 0.0 => Style::new().add_modifier(Modifier::BOLD),
            Column::Sent if rates.tx_bytes > 0.0 => Style::new().add_modifier(Modifier::BOLD),
            Column::Interface if !row.up => Style::new().fg(Color::DarkGray),
            _ => Style::new(),
        };
        Cell::from(aligned(column, text)).style(style)
    });
    TableRow::new(cells)
}

/// Names to the left, amounts to the right.
fn aligned(column: Column, text: String) -> Text<'static> {
    let side = match column {
        Column::Namespace | Column::Interface => Alignment::Left,
        _ => Alignment::Right,
    };
    Text::from(text).alignment(side)
}

fn talking(model: &Model) -> Paragraph<'static> {
    let of = model.selected().map(|row| row.namespace).unwrap_or_default();
    let mut text = String::new();
    if let Some(silence) = &model.silence {
        text += silence;
        text.push('\n');
    }
    for one in model.talkers.iter().take(usize::from(TALKERS)) {
        let rate = if model.bits { scaled(one.rate * 8.0, "bit") } else { scaled(one.rate, "B") };
        let through =
            one.flow.answered_by.map(|answerer| format!(" (answered by {})", end(answerer))).unwrap_or_default();
        let written = writeln!(
            text,
            "{:>10}/s  {:<5} {} → {}{through}",
            rate,
            one.flow.proto_name(),
            end(one.flow.from),
            end(one.flow.to)
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    Paragraph::new(text).block(Block::new().borders(Borders::TOP).title(format!(" who talks most in {of} ")))
}

fn footer(input: &Input) -> Paragraph<'static> {
    let prompt = match &input.typing {
        Some(Typing::Filter(text)) => Some(format!("Filter: {text}█  (Enter keeps it, Esc drops it)")),
        Some(Typing::Search(text)) => Some(format!("Search: {text}█  (Enter or Esc ends)")),
        None => None,
    };
    if let Some(prompt) = prompt {
        return Paragraph::new(prompt).style(Style::new().fg(Color::Black).bg(Color::Cyan));
    }
    let keys = [
        ("F1", "Help"),
        ("F3", "Search"),
        ("F4", "Filter"),
        ("F6", "Sort"),
        ("I", "Invert"),
        ("a", "Idle"),
        ("b", "Bits"),
        ("t", "Talkers"),
        ("Z", "Pause"),
        ("F10", "Quit"),
    ];
    let spans = keys.iter().flat_map(|(key, what)| {
        let bar = Style::new().fg(Color::Black).bg(Color::Cyan);
        [Span::raw(*key), Span::styled(format!("{what} "), bar)]
    });
    Paragraph::new(Line::from(spans.collect::<Vec<_>>()))
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let text: String = KEYS.iter().map(|(keys, what)| format!(" {keys:<16} {what}\n")).collect();
    let height = u16::try_from(KEYS.len()).unwrap_or(20).saturating_add(2).min(area.height);
    let width = 78.min(area.width);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" keys; any key closes this ")), place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_narrow_terminal_has_fewer_columns_and_always_the_chosen_one() {
        assert_eq!(columns(100, Column::Received).len(), 8);
        use Column::{Dropped, Errors, Interface, Namespace, PacketsOut, Received, Sent};
        assert_eq!(columns(80, Received), [Namespace, Interface, Received, Sent, Dropped, Errors]);
        assert_eq!(columns(50, Received), [Namespace, Interface, Received]);
        assert_eq!(columns(1, PacketsOut), [Namespace, Interface, Received, PacketsOut]);
    }

    #[test]
    fn every_size_of_a_terminal_can_be_drawn_on() {
        for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (200, 60)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            let mut input = Input::default();
            for help in [false, true] {
                input.help = help;
                let mut state = TableState::default();
                terminal.draw(|frame| draw(frame, &Model::new(), &input, &mut state)).expect("a picture");
            }
        }
    }
}
