use super::*;

#[test]
fn a_number_is_read_and_nothing_else_is() {
    assert_eq!(number(b"42\n"), Ok(42));
    assert_eq!(number(b"18446744073709551615"), Ok(u64::MAX));
    for bad in [&b""[..], b"\n", b"-1", b"1 2", b"0x10", b"18446744073709551616", b"max"] {
        assert!(number(bad).is_err(), "{bad:?}");
    }
    assert_eq!(cpuacct_usage_usec(b"1234567\n"), Ok(1_234));
}

#[test]
fn cpu_stat_is_read_by_key_in_either_version() {
    let v2 = b"usage_usec 900\nuser_usec 500\nsystem_usec 400\nnr_periods 7\nnr_throttled 3\n\
               throttled_usec 210\nnr_bursts 0\nburst_usec 0\n";
    let throttling = Throttling { periods: 7, throttled_periods: 3, throttled_usec: 210 };
    assert_eq!(cpu_stat(v2), Ok(CpuStat { usage_usec: Some(900), throttling: Some(throttling) }));
    let v1 = b"nr_periods 7\nnr_throttled 3\nthrottled_time 210999\nnr_bursts 0\nburst_time 0\n";
    assert_eq!(cpu_stat(v1), Ok(CpuStat { usage_usec: None, throttling: Some(throttling) }));
    let no_controller = b"usage_usec 900\nuser_usec 500\nsystem_usec 400\nnice_usec 0\n";
    assert_eq!(cpu_stat(no_controller), Ok(CpuStat { usage_usec: Some(900), throttling: None }));
}

#[test]
fn a_cpu_stat_without_its_keys_or_numbers_is_refused() {
    for bad in [&b""[..], b"usage_usec\n", b"usage_usec x\n", b"nr_periods 7\n", b"some avg10=0.00 total=4\n"]
    {
        assert!(cpu_stat(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn of_a_pressure_file_only_the_totals_are_read() {
    let text = b"some avg10=1.50 avg60=0.20 avg300=0.00 total=26985590\n\
                 full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
    assert_eq!(pressure(text), Ok(Stall { some_usec: 26_985_590, full_usec: Some(12) }));
    let some = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
    assert_eq!(pressure(some), Ok(Stall { some_usec: 5, full_usec: None }));
    for bad in
        [&b""[..], b"full avg10=0.00 total=5\n", b"some avg10=0.00\n", b"some total=x\n", b"none total=1\n"]
    {
        assert!(pressure(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn schedstat_has_three_numbers() {
    assert_eq!(schedstat(b"135422 77 1\n"), Ok(Schedstat { run_nsec: 135_422, wait_nsec: 77 }));
    for bad in [&b""[..], b"1 2\n", b"1 x 3\n", b"-1 2 3\n"] {
        assert!(schedstat(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_start_time_is_found_behind_a_name_with_spaces_and_parentheses() {
    let text = b"77 (a) b (c)) S 1 77 77 0 -1 4194560 90 0 0 0 0 0 0 0 20 0 1 0 4711 2695168 200 18446744073709551615\n";
    assert_eq!(start_ticks(text), Ok(4_711));
    for bad in [&b""[..], b"77 (a S 1", b"77 (a) S 1 77\n"] {
        assert!(start_ticks(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn meminfo_is_in_kibibytes() {
    let text = b"MemTotal:       24632444 kB\nMemFree:        21000000 kB\nMemAvailable:   23000000 kB\n";
    let read = meminfo(text).unwrap();
    assert_eq!((read.total_bytes, read.free_bytes), (24_632_444 * 1_024, 21_000_000 * 1_024));
    assert!(meminfo(b"MemTotal:  1 kB\nMemFree: 1 kB\n").is_err());
}

#[test]
fn node_cpu_is_summed_over_the_wanted_cpus_only() {
    let text = b"cpu  30 0 0 0 0 0 0 0 0 0\n\
                 cpu0 10 1 2 100 5 3 4 6 9 0\n\
                 cpu1 20 0 0 50 0 0 0 0 0 0\n\
                 cpu10 7 0 0 0 0 0 0 0 0 0\n\
                 intr 897547 0 0\nctxt 5\n";
    let only_first = node_cpu(text, |cpu| cpu == 0).unwrap();
    let wanted =
        NodeCpu { busy_usec: 130_000, idle_usec: 1_050_000, irq_usec: 70_000, steal_usec: 60_000, cpus: 1 };
    assert_eq!(only_first, wanted);
    assert_eq!(node_cpu(text, |_| true).unwrap().busy_usec, 400_000);
    assert_eq!(node_cpu(text, |cpu| cpu == 4).unwrap().cpus, 0);
    assert_eq!(online_cpus(text).collect::<Vec<_>>(), [0, 1, 10]);
    assert!(node_cpu(b"cpu0 1 2 3\n", |_| true).is_err());
    assert!(node_cpu(b"cpu0 1 2 3 4 5 6 x 8\n", |_| true).is_err());
}

#[test]
fn cpu_limits_of_both_versions_are_in_millicpu() {
    assert_eq!(cpu_max_millicpu(b"20000 100000\n"), Ok(200));
    assert_eq!(cpu_max_millicpu(b"max 100000\n"), Ok(UNLIMITED));
    assert_eq!(cfs_quota_millicpu(b"150000\n", b"100000\n"), Ok(1_500));
    assert_eq!(cfs_quota_millicpu(b"-1\n", b"100000\n"), Ok(UNLIMITED));
    for bad in [&b""[..], b"20000", b"x 100000", b"20000 0"] {
        assert!(cpu_max_millicpu(bad).is_err(), "{bad:?}");
    }
    assert!(cfs_quota_millicpu(b"1000", b"0").is_err());
    assert!(cfs_quota_millicpu(b"-2", b"100000").is_err());
}

#[test]
fn shares_become_weights_on_the_kernels_own_scale() {
    for (shares, weight) in [(1_024, 100), (2, 1), (0, 1), (512, 50), (2_048, 200), (262_144, 10_000)] {
        assert_eq!(weight_of_shares(shares), weight, "{shares}");
    }
}

#[test]
fn a_memory_limit_that_is_none_in_either_version_is_unlimited() {
    assert_eq!(memory_limit_bytes(b"max\n"), Ok(UNLIMITED));
    assert_eq!(memory_limit_bytes(b"9223372036854771712\n"), Ok(UNLIMITED));
    assert_eq!(memory_limit_bytes(b"268435456\n"), Ok(268_435_456));
    assert!(memory_limit_bytes(b"lots").is_err());
}
