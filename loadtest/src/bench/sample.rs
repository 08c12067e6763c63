//! A small result for the tests of this room.

use super::machine::Machine;
use super::result::{BenchResult, FORMAT, Figure, LeftOut, Load, Measurement, Placement, Point, Thread};
use super::subject::Subject;
use crate::run::figure::{Better, Unit};
use crate::run::result::Series;

pub(super) fn figure(name: &str, unit: Unit, values: &[f64]) -> Figure {
    Figure::new(name, unit, unit.better(), values).expect("finite values")
}

/// A result whose `million` was repeated with those speeds.
pub(super) fn result(speeds: &[f64]) -> BenchResult {
    let million = Measurement {
        name: "million".to_owned(),
        title: "A million".to_owned(),
        model: "closed loop".to_owned(),
        durability: "fdatasync before every answer".to_owned(),
        repeats: speeds.len(),
        figures: vec![
            figure("end to end/s", Unit::PerSecond, speeds),
            figure("request p50", Unit::Millis, &[5.0]),
            Figure::new("request max", Unit::Millis, Better::Neither, &[80.0]).expect("finite"),
        ],
        points: vec![Point {
            axis: "cores".to_owned(),
            at: 1.0,
            figures: vec![figure("end to end/s", Unit::PerSecond, speeds)],
        }],
        series: vec![Series {
            name: "accepted".to_owned(),
            unit: Unit::PerSecond,
            interval_s: 1.0,
            values: vec![1.0, 2.0, 3.0],
        }],
        threads: vec![Thread { name: "shard <0>".to_owned(), cpus: 0.5 }],
        bottleneck: Some("the daemon".to_owned()),
        ..Measurement::default()
    };
    BenchResult {
        format: FORMAT,
        began: "2026-01-01T00:00:00Z".to_owned(),
        seconds: 12.5,
        size: "tiny".to_owned(),
        target: None,
        machine: Machine { cpu: "A CPU & <more>".to_owned(), cpus: 2, ..Machine::default() },
        subject: Subject::default(),
        placement: Placement::default(),
        load: Load { connections: 16, batch: 1_000, length: 160 },
        limits: Vec::new(),
        measurements: vec![million],
        left_out: vec![LeftOut { name: "peak".to_owned(), why: "\"it\" was not asked for".to_owned() }],
    }
}
