//! How much cleaning writes: the policies on simulated stores, without any I/O.
//!
//! ```text
//! cargo run --release -p esker-segments --example wa [FILL [SEGMENTS [RECORDS]]]
//! ```

#![expect(clippy::print_stdout, reason = "a program that reports on stdout")]

mod sim;

use esker_segments::cleaning::{Greedy, Policy, Rate, Sepbit};
use sim::{Shape, Workload};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |nth: usize| arguments.get(nth).map(|text| text.parse::<f64>().expect("a number"));
    let fill = number(0).unwrap_or(0.8);
    let shape =
        Shape { segments: number(1).unwrap_or(1024.0) as u32, records: number(2).unwrap_or(256.0) as u32, reserve: 4 };
    println!(
        "written / written by users; {} segments of {} records, {fill} of them live",
        shape.segments, shape.records
    );
    let policies: [(&str, Box<dyn Policy>); 5] = [
        ("greedy", Box::new(Greedy::new())),
        ("sepbit", Box::new(Sepbit::new())),
        ("rate 2+2", Box::new(Rate::two_and_two())),
        ("rate 3+3", Box::new(Rate::three_and_three())),
        ("rate 6+3", Box::new(Rate::six_and_three())),
    ];
    println!("{:10} {:>8} {:>8} {:>8}", "", "uniform", "80/20", "zipf");
    for (name, policy) in policies {
        let of = |workload| sim::run(shape, &*policy, workload, fill, 1).amplification();
        let [uniform, hot, zipf] = [Workload::Uniform, Workload::Hot, Workload::Zipf].map(of);
        println!("{name:10} {uniform:8.3} {hot:8.3} {zipf:8.3}");
    }
}
