//! Job traces of every format: a line each as they are published, and mistakes in them.

use genie::placement::trace::{Format, read};

#[test]
fn every_format_gives_its_jobs() {
    let philly = r#"[{"jobid":"a","submitted_time":"2017-10-09 07:02:30","attempts":[
        {"start_time":"2017-10-09 08:00:00","end_time":"2017-10-09 09:00:00","detail":[{"ip":"m1","gpus":["g0","g1"]}]}]},
        {"jobid":"b","submitted_time":"2017-10-09 07:03:30","attempts":[]}]"#;
    let helios = "job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue\n\
        1,u,v,8,32,1,COMPLETED,2020-04-01 00:00:10,2020-04-01 00:00:20,2020-04-01 01:00:20,3600,10\n";
    let acme = "job_id,user,node_num,gpu_num,cpu_num,type,state,submit_time,start_time,end_time,duration,queue\n\
        1,u,1,8,32,x,COMPLETED,2023-03-01 00:00:00+08:00,2023-03-01 00:01:00+08:00,2023-03-01 01:01:00+08:00,3600,60\n";
    let tasks = "job_name,task_name,inst_num,status,start_time,end_time,plan_cpu,plan_mem,plan_gpu,gpu_type\nj1,worker,4,Terminated,1000.0,4600.0,600.0,29.3,50.0,V100\nj2,ps,1,Terminated,1000.0,,600.0,29.3,,CPU\n";
    let pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n\
        p,12000,16384,2,1000,,LS,Succeeded,0,3605,5\n";
    let rfold = "#job id,arrival time (sec),topology,shape,size,duration (sec)\n0,0,T3D_NT,104x1x1,104,3600.0\n1,9,T3D_T,4x4x8,128,1\n";
    let cases = [
        (Format::Philly, philly, 1, 2.0),
        (Format::Helios, helios, 1, 8.0),
        (Format::Acme, acme, 1, 8.0),
        (Format::Alibaba2020, tasks, 1, 2.0),
        (Format::Alibaba2023, pods, 1, 2.0),
        (Format::Rfold, rfold, 2, 104.0),
    ];
    for (format, text, count, size) in cases {
        let rows = read(format, text)
            .unwrap_or_else(|e| panic!("{format:?}: {e}"))
            .rows;
        assert_eq!(
            (rows.len(), rows[0].size, rows[0].duration),
            (count, size, 3600.0),
            "{format:?}"
        );
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    let header = "job_id,gpu_num,submit_time,start_time,end_time,duration\n";
    for (bad, words) in [
        (
            "1,NaN?,2020-04-01 00:00:10,,,5",
            "line 2: `gpu_num` is not a number",
        ),
        ("1,8,yesterday,,,5", "is not a time"),
        ("1,8", "the line ends before"),
        ("1,1e300,2020-04-01 00:00:10,,,5", "out of range"),
    ] {
        let error = read(Format::Helios, &format!("{header}{bad}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(read(Format::Helios, "").is_err());
    assert!(read(Format::Philly, "[{").is_err());
    assert!(read(Format::Rfold, "0,0,T3D_T,3x3x3,27,1").is_err());
}
