module berth.dev/ring/pod

go 1.26
