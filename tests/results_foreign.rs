//! Results of other programs, as these programs print them.

use std::fs;

use genie::results::diff::foreign::{self, ForeignError};
use genie::results::diff::{Field, Metric, Options, Series, compare};

fn read(text: &str, metric: Metric) -> Result<Series, ForeignError> {
    let file = tempfile::NamedTempFile::new().expect("it is there");
    fs::write(file.path(), text).expect("it is there");
    foreign::series("x", file.path(), metric)
}

/// (op, bytes, samples) of each figure.
fn figures(text: &str, metric: Metric) -> Vec<(String, String, Vec<f64>)> {
    let series = read(text, metric).expect("it is there");
    let text = |figure: &genie::results::diff::series::Figure, field| {
        figure
            .key
            .get(&field)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let figure = |f: &genie::results::diff::series::Figure| {
        (text(f, Field::Op), text(f, Field::Bytes), f.samples.clone())
    };
    series.figures.iter().map(figure).collect()
}

const NCCL: &str = "\
# nccl-tests version 2.17.1 nccl-headers=22703 nccl-library=22703
# Collective test starting: all_reduce_perf
# nThread 1 nGpus 2 minBytes 1024 maxBytes 2048 step: 2(factor) warmup iters: 1 iters: 20 agg iters: 1 validation: 1 graph: 0
#
# Using devices
#  Rank  0 Group  0 Pid  12345 on    host-a device  0 [0000:07:00] NVIDIA H100
#  Rank  1 Group  0 Pid  12345 on    host-a device  1 [0000:0f:00] NVIDIA H100
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  (GB/s)  (GB/s)
        1024           256     float     sum      -1    12.50    0.08    0.08       0    12.10    0.08    0.08       0
        2048           512     float     sum      -1    13.00    0.16    0.16     N/A    12.90    0.16    0.16     N/A
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 0.12
";

#[test]
fn nccl_tests_text() {
    let time = figures(NCCL, Metric::Time);
    assert_eq!(time[0], ("all-reduce".into(), "1024".into(), vec![12.5]));
    assert_eq!(time[1].2, [13.0]);
    // GB/s to Gbit/s.
    assert_eq!(figures(NCCL, Metric::Busbw)[1].2, [0.16 * 8.0]);
    let key = &read(NCCL, Metric::Time).unwrap().figures[0].key;
    assert_eq!(key[&Field::Ranks].to_string(), "2");
    assert_eq!(key[&Field::Dtype].to_string(), "float32");
    assert_eq!(key[&Field::Root].to_string(), "none");
}

#[test]
fn a_file_of_several_runs_is_repetitions() {
    let three = NCCL.repeat(3);
    let series = read(&three, Metric::Time).unwrap();
    assert_eq!(series.repetitions, 3);
    assert_eq!(
        series
            .figures
            .iter()
            .filter(|figure| figure.repetition == 2)
            .count(),
        2
    );
}

#[test]
fn nccl_tests_json() {
    let text = r#"{"version":2,"args":["all_gather_perf"],"nccl_version":22703,
"config":{"nthreads":1,"devices":[{"rank":0},{"rank":1},{"rank":2}]},
"results":[
 {"size":4096,"count":256,"type":"float","redop":"none","root":"    -1",
  "out_of_place":{"time":20.5,"alg_bw":0.2,"bus_bw":0.15,"nwrong":0.0},
  "out_of_place_per_iter":{"min_us":20.0,"times_us":[20.0,21.0,22.0]},
  "in_place":{"time":19.5,"alg_bw":0.21,"bus_bw":0.16,"nwrong":null},
  "actual_iterations":3,"experiment_name":"AllGather"},
 {"size":8192,"count":512,"type":"float","redop":"none","root":"    -1","out_of_place":null,
  "in_place":{"time":30.0,"alg_bw":0.27,"bus_bw":0.2,"nwrong":"nan"},"experiment_name":"AllGather"}],
"out_of_bounds":{"count":0}}"#;
    assert_eq!(
        figures(text, Metric::Time)[0],
        ("all-gather".into(), "4096".into(), vec![20.0, 21.0, 22.0])
    );
    assert_eq!(
        figures(text, Metric::Time)[1].2,
        [30.0],
        "in place, where there is nothing else"
    );
    assert_eq!(figures(text, Metric::Busbw)[0].2, [0.15 * 8.0]);
}

#[test]
fn osu_latency_bandwidth_and_barrier() {
    let text = "\
# OSU MPI Allreduce Latency Test v7.4
# Datatype: MPI_INT.
# Size       Avg Latency(us)   Min Latency(us)   Max Latency(us)  Iterations
4                       1.61              1.40              1.80        1000
1048576               512.25            500.00            530.00         100

# OSU MPI Bandwidth Test v7.4
# Datatype: MPI_CHAR.
# Size      Bandwidth (MB/s)
1                       3.50
4194304             12345.60

# OSU MPI Barrier Latency Test v7.4
# Avg Latency(us)
             9.75
";
    let time = figures(text, Metric::Time);
    assert_eq!(time[1], ("all-reduce".into(), "1048576".into(), vec![512.25]));
    assert_eq!(time[2], ("barrier".into(), String::new(), vec![9.75]));
    let rate = figures(text, Metric::Algbw);
    assert_eq!(rate[1].1, "4194304");
    assert!(
        (rate[1].2[0] - 98.7648).abs() < 1e-9,
        "12345.6 MB/s are 98.76 Gbit/s: {rate:?}"
    );
}

#[test]
fn osu_of_other_libraries_with_validation_and_message_rates() {
    let text = "\
# OSU MPI-CUDA Allreduce Latency Test v7.2
# Datatype: MPI_INT.
# Size       Avg Latency(us)        Validation
1024                   20.50              Pass
2048                   21.50              Fail

# OSU MPI Multiple Bandwidth / Message Rate Test v7.4
# [ pairs: 2 ] [ window size: 64 ]
# Size                  MB/s        Messages/s
1                       8.00        8000000.00

# OSU MPI_Put latency Test v5.9
# Window creation: MPI_Win_allocate
# Size          Latency (us)
8                       1.25
";
    let time = figures(text, Metric::Time);
    assert_eq!(time[0], ("all-reduce".into(), "1024".into(), vec![20.5]));
    assert_eq!(time[2], ("MPI_Put".into(), "8".into(), vec![1.25]));
    let rate = figures(text, Metric::Algbw);
    assert_eq!(rate.len(), 1, "{rate:?}");
    assert_eq!(rate[0].2, [0.064]);
}

#[test]
fn perftest_before_2024_wrote_no_json() {
    // As printed by the formats of perftest 4.5 (Debian 12): nothing but the device is quoted.
    let text = "{\ntest_info: {\ntest: RDMA_Write_BW_Test,\nDual_port: OFF,\nDevice: \"rxe0\",\nNumber_of_qps: 1,\n\
                TX_depth : 128,\nMtu: 1024,\n},\nresults: {\nMsgSize: 65536,\nn_iterations: 5000,\nBW_peak: 97.78,\n\
                BW_average: 97.78,\nMsgRate: 0.186500},\n}\n";
    let rate = figures(text, Metric::Algbw);
    assert_eq!(
        (rate[0].0.as_str(), rate[0].1.as_str()),
        ("RDMA_Write_BW_Test", "65536")
    );
    let latency = "{\ntest_info: {\ntest: Send_Latency_Test,\n},\nresults: {\nMsgSize: 2,\nn_iterations: 1000,\nt_min: 1.10,\n\
                   t_max: 9.00,\nt_typical: 1.25,\nt_avg: 1.30,\npercentile_99.9: 5.00\n},\n}\n";
    assert_eq!(figures(latency, Metric::Time)[0].2, [1.25]);
    for end in 0..text.len() {
        // However it was cut off: figures or an error.
        let _ = read(&text[..end], Metric::Algbw);
    }
}

#[test]
fn perftest_finds_its_unit() {
    let object = |rate: f64, messages: f64| {
        format!(
            "{{\n\"test_info\": {{\n\"test\": \"RDMA_Write_BW_Test\",\n\"Device\": \"mlx5_0\"\n}},\n\"results\": {{\n\"MsgSize\": 65536,\n\
             \"n_iterations\": 5000,\n\"BW_peak\": {rate},\n\"BW_average\": {rate},\n\"MsgRate\": {messages}\n}}\n}}\n"
        )
    };
    // 0.1865 million messages of 64 KiB are 97.78 Gbit/s, or 11656 MiB/s.
    for text in [object(97.78, 0.1865), object(11656.25, 0.1865)] {
        let rate = figures(&text, Metric::Algbw);
        assert_eq!(rate[0].1, "65536");
        assert!((rate[0].2[0] - 97.78).abs() < 0.01, "{rate:?}");
    }
    let latency = "{\"test_info\": {\"test\": \"RDMA_Write_Latency_Test\"}, \"results\": {\"MsgSize\": 2, \"n_iterations\": 1000, \
                   \"t_min\": 1.1, \"t_max\": 9.0, \"t_typical\": 1.25, \"t_avg\": 1.3}}";
    assert_eq!(figures(latency, Metric::Time)[0].2, [1.25]);
}

#[test]
fn iperf3_intervals_are_samples() {
    let text = r#"{"start":{"version":"iperf 3.16","test_start":{"protocol":"TCP","num_streams":1}},
"intervals":[{"streams":[],"sum":{"bits_per_second":5e8,"omitted":true}},
{"streams":[],"sum":{"bits_per_second":9.4e8,"omitted":false}},{"streams":[],"sum":{"bits_per_second":9.5e8,"omitted":false}}],
"end":{"sum_received":{"bits_per_second":9.45e8}}}"#;
    assert_eq!(
        figures(text, Metric::Algbw),
        [("iperf3 TCP".into(), String::new(), vec![0.94, 0.95])]
    );
    let stream = "{\"event\":\"start\",\"data\":{\"test_start\":{\"protocol\":\"UDP\"}}}\n\
                  {\"event\":\"interval\",\"data\":{\"sum\":{\"bits_per_second\":1e9}}}\n{\"event\":\"end\",\"data\":{}}\n";
    assert_eq!(
        figures(stream, Metric::Algbw),
        [("iperf3 UDP".into(), String::new(), vec![1.0])]
    );
    let error = read(text, Metric::Time).unwrap_err();
    assert!(
        error.to_string().ends_with("(iperf3) has no time: it has algbw"),
        "{error}"
    );
    assert_eq!(error.help(), "--metric algbw");
}

#[test]
fn astra_sim_is_exact() {
    let text = |cycles: u64| {
        format!(
            "[2026-01-01 10:00:00.000] [workload] [info] sys[0] finished, {cycles} cycles, exposed communication 100 cycles.\n\
             [2026-01-01 10:00:00.000] [workload] [info] sys[1] finished, 90000 cycles, exposed communication 250 cycles.\n"
        )
    };
    assert_eq!(figures(&text(123_456), Metric::Time)[0].2, [123.456]);
    assert_eq!(figures(&text(123_456), Metric::Time)[1].2, [0.25]);
    let sides = [
        read(&text(100_000), Metric::Time).unwrap(),
        read(&text(100_100), Metric::Time).unwrap(),
    ];
    let comparison = compare(&sides, &Options::default());
    assert!(
        comparison.has_regression(),
        "0.1 % of a computed time is a difference"
    );
    assert!(
        comparison.notes.iter().all(|note| !note.contains("block")),
        "{:?}",
        comparison.notes
    );
}

#[test]
fn what_is_not_known_or_broken_is_said() {
    for (text, why) in [
        ("", "neither JSON nor a table"),
        ("hello", "neither JSON nor a table"),
        ("{\"a\": 1}", "JSON of no program"),
        ("{\"results\": [", "broken JSON"),
        (
            "# OSU MPI Allreduce Latency Test v7.4\n",
            "without a single figure",
        ),
        ("sys[x] finished, 1 cycles", "neither JSON nor a table"),
        (
            "sys[0] finished, 99999999999999999999999 cycles",
            "neither JSON nor a table",
        ),
        (
            "{\"nccl_version\": 1, \"results\": []}",
            "without a single figure",
        ),
    ] {
        let error = read(text, Metric::Time).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
    let nested = "[".repeat(100_000);
    assert!(read(&format!("{{\"a\":{nested}"), Metric::Time).is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(
        foreign::series("x", file.path(), Metric::Time),
        Err(ForeignError::Unreadable { .. })
    ));
}
