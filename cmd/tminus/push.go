package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/config"
	"tminus.dev/internal/flyte"
)

var errFollows = errors.New("source is flyte in this configuration: its launch plans come from that Flyte already")

// beside runs do with connections to the tminus of --endpoint, or if none is named
// that of the configuration, and to the Flyte of the configuration.
func beside(cmd *cobra.Command, environ []string, do func(ctx context.Context, c *config.Config, here, there grpc.ClientConnInterface) error) error {
	c, err := load(cmd, environ)
	if err != nil {
		return err
	}
	if c.Admin.Endpoint == "" {
		return errNoFlyte
	}
	there, err := flyte.Dial(cmd.Context(), c.Admin, newLogger(c.Log, cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer there.Close()
	if given(cmd, "endpoint") == "" && lookup(environ, "TMINUS_ENDPOINT") == "" {
		if err := cmd.Flag("endpoint").Value.Set(c.Server.GRPCAddr); err != nil {
			return fmt.Errorf("server.grpcAddr: %w", err)
		}
	}
	return cli.Connect(cmd, func(here grpc.ClientConnInterface) error { return do(cmd.Context(), c, here, there) })
}

// given is a flag's value if it was given, which tells it from its default.
func given(cmd *cobra.Command, name string) string {
	if f := cmd.Flag(name); f.Changed {
		return f.Value.String()
	}
	return ""
}

func pushCommand(environ []string) *cobra.Command {
	var p flyte.PushConfig
	cmd := &cobra.Command{
		Use:   "push",
		Short: "Register on a Flyte what is registered here, so that executions can run there",
		Long: `Register the tasks, workflows and launch plans of this tminus (that of --endpoint, or else of server.grpcAddr) on the flyteadmin
of admin.endpoint, under the same identifiers and versions, as their client would. Without --all those are pushed that the active launch plans need,
and versions with slots still to launch; -p and -d restrict it to a project and a domain.

Nothing is activated on Flyte, so no scheduler there fires it, unless --activate is given. What is there already is
compared and left as it is, so push may be repeated, after whatever went wrong.

Afterwards set launcher: flyte in the configuration of tminus serve, and restart it: schedules go on here and launch
there, and no slot is lost. docs/flyte.md has the steps.`,
		Example: `  tminus push --config tminus.yaml --dry-run
  tminus push --config tminus.yaml
  tminus push --config tminus.yaml -p shop --all --image ghcr.io/acme/batch:7`,
		Args: cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.Project, p.Domain = given(cmd, "project"), given(cmd, "domain")
			return beside(cmd, environ, func(ctx context.Context, c *config.Config, here, there grpc.ClientConnInterface) error {
				if c.Source == config.OnFlyte {
					return errFollows
				}
				pushed, err := flyte.Push(ctx, here, there, p)
				if pushed == nil && err != nil {
					return err
				}
				report := summed(pushed)
				if err := cli.Print(cmd, report, report.print); err != nil {
					return err
				}
				if err == nil && report.failed() {
					err = cli.ErrReported
				}
				return err
			})
		},
	}
	settingsFlags(cmd)
	cmd.Flags().BoolVar(&p.All, "all", false, "push every version, not only what active launch plans and slots still to launch need")
	cmd.Flags().BoolVar(&p.Activate, "activate", false, "activate on Flyte what is active here: a scheduler that runs there fires it then")
	cmd.Flags().StringVar(&p.Image, "image", "", "container image of tasks that name none; Flyte runs no task without")
	cmd.Flags().BoolVar(&p.DryRun, "dry-run", false, "only look what is there; whether it is the same Flyte says when it is pushed")
	return cmd
}

// pushReport is what a push came to.
type pushReport struct {
	// Pushed is everything, what others need first. Totals counts it by result.
	Pushed []flyte.Pushed           `json:"pushed"`
	Totals map[flyte.PushResult]int `json:"totals"`
}

func summed(pushed []flyte.Pushed) pushReport {
	r := pushReport{Pushed: pushed, Totals: make(map[flyte.PushResult]int)}
	for _, p := range pushed {
		r.Totals[p.Result]++
	}
	return r
}

func (r pushReport) failed() bool { return slices.ContainsFunc(r.Pushed, flyte.Pushed.Failed) }

// pushRows is up to how many rows a push is shown whole; of a longer one, only what failed or has warnings.
const pushRows = 100

func (r pushReport) print(w io.Writer) {
	fmt.Fprintln(w, "KIND\tID\tRESULT\tREASON")
	left := 0
	for _, p := range r.Pushed {
		if len(r.Pushed) > pushRows && !p.Failed() && len(p.Warnings) == 0 {
			left++
			continue
		}
		reason := p.Reason
		if reason == "" {
			reason = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Kind, p.ID, p.Result, reason)
	}
	if left > 0 {
		fmt.Fprintf(w, "… and %d of which there is nothing to say\n", left)
	}
	for _, p := range r.Pushed {
		for _, warning := range p.Warnings {
			fmt.Fprintf(w, "warning: %s %s: %s\n", p.Kind, p.ID, warning)
		}
	}
	var totals []string
	for _, result := range []flyte.PushResult{flyte.Registered, flyte.Activated, flyte.There, flyte.Missing, flyte.Failed, flyte.Untried} {
		if n := r.Totals[result]; n > 0 {
			totals = append(totals, fmt.Sprintf("%d %s", n, result))
		}
	}
	if len(totals) == 0 {
		totals = []string{"there is nothing to push: no launch plan is active"}
	}
	fmt.Fprintln(w, strings.Join(totals, ", "))
}
