// The benchmarks of tminus.dev/cron beside its peers. It is a module of its own so that nobody who uses tminus gets these.
module tminus.dev/bench

go 1.26.0

replace tminus.dev => ../

require (
	github.com/adhocore/gronx v1.20.4
	github.com/gorhill/cronexpr v0.0.0-20180427100037-88b0669f7d75
	github.com/hashicorp/cronexpr v1.1.3
	github.com/netresearch/go-cron v0.9.1
	github.com/reugn/go-quartz v0.15.2
	github.com/robfig/cron/v3 v3.0.1
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da
	tminus.dev v0.0.0-00010101000000-000000000000
)

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
)

tool golang.org/x/perf/cmd/benchstat
