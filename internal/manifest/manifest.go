// Package manifest registers launch plans that people write as YAML, without
// an SDK, and those that an SDK has packaged. A manifest is turned into the
// messages that any Flyte client sends, and sent to any Flyte server.
package manifest

// A Document is one YAML document of a manifest: a launch plan and the
// workflow it launches, or one of the two alone.
//
// The tags are the manifest's definition. The decoder and the JSON Schema both
// read them: yaml is the key, doc its description, and
//
//	required   the key must be there
//	enum       the values that are allowed, separated by blanks
//	min        the least value of a number
//	example    a value to show
type Document struct {
	LaunchPlan  string `yaml:"launchPlan" doc:"Name of the launch plan. Without it only the workflow is registered." example:"nightly-report"`
	Project     string `yaml:"project" doc:"Project to register in. Default: the --project of apply, which is default."`
	Domain      string `yaml:"domain" doc:"Domain to register in. Default: the --domain of apply, which is development."`
	Version     string `yaml:"version" doc:"Version of everything that the document registers. Default: a hash of its meaning and of the files it ships, so that a change is a new version and no change is none." example:"v1"`
	Description string `yaml:"description" doc:"What the launch plan is for, in a sentence. It belongs to the name and is the same for all versions."`
	Active      *bool  `yaml:"active" doc:"Whether this version is to be the active one, whose schedule fires. With false it is registered and, if it is active, deactivated; another active version stays. Default: true."`

	Schedule *Schedule `yaml:"schedule" doc:"When the launch plan fires. Without it, executions are created by hand."`

	FixedInputs   map[string]Value `yaml:"fixedInputs" doc:"Inputs that no launch can change. A file is given by its path relative to the manifest, and is uploaded."`
	DefaultInputs map[string]Value `yaml:"defaultInputs" doc:"Inputs that a launch may change."`

	MaxParallelism int                `yaml:"maxParallelism" doc:"Most nodes of an execution to run at once; 0 leaves it to the server." min:"0"`
	Concurrency    *ConcurrencyPolicy `yaml:"concurrencyPolicy" doc:"How many executions of the launch plan may run at once."`
	Labels         map[string]string  `yaml:"labels" doc:"Labels of the executions."`
	Annotations    map[string]string  `yaml:"annotations" doc:"Annotations of the executions. Those of tminus (tminus.dev/…) are keys of schedule instead."`
	Envs           map[string]string  `yaml:"envs" doc:"Environment variables of every task of an execution."`

	Workflow Workflow `yaml:"workflow" doc:"What the launch plan launches." required:"true"`
}

// A Schedule is when a launch plan fires, and its policies.
type Schedule struct {
	Cron             string `yaml:"cron" doc:"AWS cron (minutes hours day-of-month month day-of-week year) or unix cron (five fields, or an alias such as @daily). One of cron and rate is required." example:"0 10 * * ? *"`
	Rate             string `yaml:"rate" doc:"A number and minute(s), hour(s) or day(s), counted from activation." example:"5 minutes"`
	KickoffTimeInput string `yaml:"kickoffTimeInput" doc:"The datetime input of the workflow that takes the slot, that is the nominal due time." example:"kickoff_time"`

	Timezone       string   `yaml:"timezone" doc:"IANA name of the zone in which a cron expression is read. Default: UTC." example:"Europe/Berlin"`
	DSTGap         string   `yaml:"dstGap" doc:"What becomes of a slot in the hour that clocks leave out in spring: skip it, or fire at the next instant that exists." enum:"skip next"`
	DSTRepeat      string   `yaml:"dstRepeat" doc:"Which of the two instants of a slot fires in the hour that clocks repeat in autumn." enum:"first second both"`
	StartAt        string   `yaml:"startAt" doc:"First instant that may be a slot, in RFC 3339." example:"2026-01-31T09:00:00Z"`
	EndAt          string   `yaml:"endAt" doc:"Last instant that may be a slot, in RFC 3339." example:"2026-12-31T23:59:59Z"`
	Jitter         string   `yaml:"jitter" doc:"The most by which a launch is put off, so that not all launch at once." example:"30s"`
	CatchUp        string   `yaml:"catchUp" doc:"Which slots launch late that came due while tminus was down: none, latest, all, or the number of the latest ones. Default: latest." example:"latest"`
	CatchUpWindow  string   `yaml:"catchUpWindow" doc:"How old such a slot may be. Default: 24h." example:"6h"`
	CatchUpOrder   string   `yaml:"catchUpOrder" doc:"Which of such slots launches first. Those that overlap lets wait go by slot. Default: oldest." enum:"oldest newest"`
	Overlap        string   `yaml:"overlap" doc:"What becomes of a slot while an earlier execution runs. Default: allow." enum:"allow skip buffer-one buffer-all cancel-other terminate-other"`
	Buffer         int      `yaml:"buffer" doc:"How many slots may wait where overlap is buffer-all; more are skipped, but for those that launch late. Default: 100." min:"1"`
	LaunchDeadline string   `yaml:"launchDeadline" doc:"How long a launch that fails is tried again. Default: 24h." example:"15m"`
	LateAfter      string   `yaml:"lateAfter" doc:"How late a launch may be before an alert is raised. Default: that of the installation." example:"5m"`
	PauseOnFailure int      `yaml:"pauseOnFailure" doc:"How many failed executions in a row pause the schedule. Default: it is never paused." min:"1"`
	MaxRuns        int      `yaml:"maxRuns" doc:"How many slots fire after an activation. Default: no limit." min:"1"`
	Exclude        []string `yaml:"exclude" doc:"Cron expressions and names of calendars (tminus calendars); a slot that matches one, or is on a day of one, is left out." example:"* * 25 12 ? *"`
	Priority       int      `yaml:"priority" doc:"Of launches that are due together, the higher goes first. Default: 0."`
}

// A ConcurrencyPolicy limits the executions of a launch plan.
type ConcurrencyPolicy struct {
	Max int `yaml:"max" doc:"A slot is skipped while as many executions run." required:"true" min:"1"`
}

// A Workflow is a graph of nodes. Without nodes it names one that another
// document defines, or that is registered.
type Workflow struct {
	Name      string              `yaml:"name" doc:"Name of the workflow. Default: the launch plan's name."`
	Version   string              `yaml:"version" doc:"Version of a workflow that is registered already; only without nodes."`
	Inputs    map[string]Variable `yaml:"inputs" doc:"Inputs and their types."`
	Nodes     []Node              `yaml:"nodes" doc:"The tasks to run, in any order: data and after decide what waits for what."`
	Outputs   map[string]Value    `yaml:"outputs" doc:"Outputs by name: each a promise such as ${nodes.extract.count}, or a constant."`
	OnFailure string              `yaml:"onFailure" doc:"Whether a failed node ends the execution at once, or after the nodes that do not depend on it. Default: fail-immediately." enum:"fail-immediately fail-after-executable-nodes-complete"`
}

// A Node is a step of a workflow: a command that reads its inputs and writes
// its outputs.
type Node struct {
	ID      string              `yaml:"id" doc:"Name of the node, unique in the workflow." required:"true" example:"extract"`
	Command []string            `yaml:"command" doc:"Program and arguments. {{.inputs.NAME}} stands for an input's value, or for the path of a copy if it is a file. Values are put in as they are: give them to a shell as arguments, not within its script." required:"true"`
	Image   string              `yaml:"image" doc:"Container image to run it in, where tasks run in containers. Tasks run by tminus itself are processes on its machine."`
	Env     map[string]string   `yaml:"env" doc:"Environment variables. TMINUS_INPUT_DIR holds one file per input; outputs are read from files named after them in TMINUS_OUTPUT_DIR."`
	Inputs  map[string]Value    `yaml:"inputs" doc:"Inputs by name: constants, promises such as ${inputs.city} and ${nodes.extract.count}, or lists and maps of them."`
	Outputs map[string]Variable `yaml:"outputs" doc:"Outputs and their types. Each is a file of that name in TMINUS_OUTPUT_DIR."`
	After   []string            `yaml:"after" doc:"Nodes to wait for beyond those whose outputs are used."`
	Retries int                 `yaml:"retries" doc:"Attempts beyond the first." min:"0"`
	Timeout string              `yaml:"timeout" doc:"How long all attempts together may take." example:"5m"`
}

// A Variable is an input or output: the name of a type alone, or with a description.
type Variable struct {
	Type        string `yaml:"type" doc:"A type, such as string, integer, float, boolean, datetime, duration, struct, file, directory, list<string> or map<integer>." required:"true" example:"datetime"`
	Description string `yaml:"description" doc:"What it is."`
}
