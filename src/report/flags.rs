//! Names over their columns, in as few lines as they fit, each with a stem down to what is drawn below.

use super::chart::Mark;
use super::plot::Frame;
use super::style::{columns, printable, shortened};

const STEM: &str = "│";
const FREE: &str = " ";

/// One line of names: a cell for each column; a sign that takes two columns leaves the second one empty.
type Lane = Vec<String>;

/// The lines, the highest first.
pub(super) fn flags(marks: &[Mark], frame: &Frame) -> Vec<String> {
    let mut lanes: Vec<Lane> = Vec::new();
    // From the right: then names, which stand to the right of their stems, seldom lie in the way of a stem.
    for mark in marks.iter().rev() {
        let name = shortened(&printable(&mark.name), frame.columns / 2 - 1);
        plant(&mut lanes, frame.column(mark.step), &name, frame.columns);
    }
    lanes.iter().rev().map(|lane| lane.concat().trim_end().to_owned()).collect()
}

/// Puts a name into the lowest lane that has room for it, with a stem through the lanes below.
fn plant(lanes: &mut Vec<Lane>, column: usize, name: &str, width: usize) {
    for level in 0.. {
        if level == lanes.len() {
            lanes.push(vec![FREE.to_owned(); width]);
        }
        let Some(start) = place(&lanes[level], column, columns(name)) else { continue };
        write(&mut lanes[level], start, name);
        lanes[level][column] = STEM.into();
        // Where another name lies in the way the stem goes on below it.
        lanes[..level].iter_mut().filter(|lane| lane[column] == FREE).for_each(|lane| lane[column] = STEM.into());
        return;
    }
}

/// Where in a lane a name can begin: behind its stem, or before it where the lane ends.
fn place(lane: &[String], column: usize, length: usize) -> Option<usize> {
    let is_free = |from: usize, to: usize| lane[from..to].iter().all(|cell| cell == FREE);
    let behind = column + 1 + length;
    if behind <= lane.len() && is_free(column, (behind + 1).min(lane.len())) {
        return Some(column + 1);
    }
    let before = column.checked_sub(length)?;
    (behind > lane.len() && is_free(before.saturating_sub(1), column + 1)).then_some(before)
}

fn write(lane: &mut Lane, start: usize, name: &str) {
    let mut at = start;
    for c in name.chars() {
        let text = c.to_string();
        match columns(&text) {
            0 => lane[at.saturating_sub(1)].push(c),
            1 => lane[at] = text.clone(),
            _ => {
                lane[at] = text.clone();
                lane[at + 1] = String::new();
            }
        }
        at += columns(&text);
    }
}
